import logging

import pytest
import torch

from graphrec_pt.features.pretrained import digest, kept


class Maker:
    def __init__(self):
        self.calls = 0
        self.made = torch.randn(3, 5, generator=torch.Generator().manual_seed(0))

    def __call__(self):
        self.calls += 1
        return self.made


@pytest.fixture
def make():
    return Maker()


def test_made_once_and_read_to_the_bit(tmp_path, make):
    folder = tmp_path / "not" / "there"
    assert kept(folder, "key", make) is make.made
    assert torch.equal(kept(folder, "key", make), make.made)
    assert make.calls == 1
    kept(folder, "other", make)
    assert make.calls == 2
    assert sorted(path.name for path in folder.iterdir()) == [
        "key.safetensors",
        "other.safetensors",
    ]


def test_without_a_folder_nothing_is_written(tmp_path, make, monkeypatch):
    monkeypatch.chdir(tmp_path)
    kept(None, "key", make)
    kept(None, "key", make)
    assert make.calls == 2
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("harm", ["cut", "flip", "other", "empty"])
def test_a_damaged_file_is_made_again(tmp_path, make, harm, caplog):
    kept(tmp_path, "key", make)
    path = tmp_path / "key.safetensors"
    whole = path.read_bytes()
    path.write_bytes(
        {
            "cut": whole[:-7],
            "flip": whole[:-1] + bytes([whole[-1] ^ 1]),
            "other": b"x" * 100,
            "empty": b"",
        }[harm]
    )
    with caplog.at_level(logging.WARNING):
        found = kept(tmp_path, "key", make)
    assert torch.equal(found, make.made)
    assert make.calls == 2
    assert "making it again" in caplog.text
    assert path.read_bytes() == whole


def test_a_folder_that_cannot_be_written_costs_a_warning(tmp_path, make, caplog):
    (tmp_path / "file").write_text("in the way")
    with caplog.at_level(logging.WARNING):
        found = kept(tmp_path / "file" / "folder", "key", make)
    assert found is make.made
    assert "cannot be written" in caplog.text


def test_a_failure_leaves_nothing(tmp_path):
    def fail():
        raise RuntimeError("out of memory")

    with pytest.raises(RuntimeError, match="out of memory"):
        kept(tmp_path, "key", fail)
    assert not list(tmp_path.iterdir())


def test_digests_tell_things_apart():
    x = torch.arange(6, dtype=torch.float32)
    different = [
        (x,),
        (x.view(2, 3),),
        (x.double(),),
        (x[:3], x[3:]),
        (x.bfloat16(),),
        ("ab", "c"),
        ("a", "bc"),
        (torch.tensor(True),),
        (torch.zeros(0),),
        (),
    ]
    assert len({digest(*parts) for parts in different}) == len(different)
    assert digest(x.view(2, 3).T) == digest(x.view(2, 3).T.contiguous())
    assert digest("a", b"bc") == digest(b"a", "bc")

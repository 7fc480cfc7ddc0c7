"""Files of torch.save are read as torch reads them, and nothing else is."""

import pickle
from collections import OrderedDict
from pathlib import Path

import pytest
import torch

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.features.torch_file import read_tensors


@pytest.mark.parametrize("zipped", [True, False])
def test_tensors_are_those_that_torch_reads(tmp_path: Path, zipped: bool) -> None:
    block = torch.arange(24, dtype=torch.float32)
    given = OrderedDict(
        whole=block.view(2, 3, 4),
        transposed=block.view(4, 6).T,
        part=block[5:11],
        number=torch.tensor(7),
        half=torch.randn(3, 2).half(),
        parameter=torch.nn.Parameter(torch.ones(2)),
        none=torch.zeros(0, 3),
    )
    file = tmp_path / "weights.pth"
    torch.save(given, file, _use_new_zipfile_serialization=zipped)
    expected = torch.load(file, weights_only=True)
    found = read_tensors(file)
    assert list(found) == list(expected)
    for name, value in expected.items():
        assert found[name].dtype == value.dtype
        assert torch.equal(found[name], value)


class Runs:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (print, ("run",))


@pytest.mark.parametrize("zipped", [True, False])
def test_nothing_of_a_file_is_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], zipped: bool
) -> None:
    file = tmp_path / "weights.pth"
    torch.save({"x": Runs()}, file, _use_new_zipfile_serialization=zipped)
    with pytest.raises(GraphRecError, match=r"a dictionary of tensors in weights.pth"):
        read_tensors(file)
    assert capsys.readouterr().out == ""


def test_what_is_no_such_file(tmp_path: Path) -> None:
    file = tmp_path / "weights.pth"
    torch.save({"x": torch.ones(3)}, file, _use_new_zipfile_serialization=False)
    for content in (b"", b"none", pickle.dumps({"a": 1}), file.read_bytes()[:-4]):
        file.write_bytes(content)
        with pytest.raises(GraphRecError, match="a dictionary of tensors"):
            read_tensors(file)

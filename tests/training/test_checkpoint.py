"""A checkpoint comes back to the bit or not at all, whatever happened to the process."""

import json
import math
import os
import struct
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file
from torch import Tensor

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.training.checkpoint import (
    discard_after,
    latest,
    load_checkpoint,
    save_checkpoint,
    saved_steps,
)

TENSORS = {"weight": torch.arange(6.0).view(2, 3), "count": torch.tensor(7)}
STATE = {"epoch": 3, "best": 0.1 + 0.2, "names": ["a", "ä"], "none": None, "deep": {"x": [1, 2.5]}}


def test_what_is_saved_comes_back(tmp_path: Path) -> None:
    place = save_checkpoint(tmp_path / "run", 1000, TENSORS, STATE)
    assert place == tmp_path / "run" / "step-00001000"
    assert sorted(path.name for path in place.iterdir()) == ["state.json", "tensors.safetensors"]
    found = load_checkpoint(tmp_path / "run")
    assert (found.step, found.state) == (1000, STATE)
    assert found.tensors.keys() == TENSORS.keys()
    for name, tensor in TENSORS.items():
        assert found.tensors[name].dtype == tensor.dtype
        assert torch.equal(found.tensors[name], tensor)
    found.tensors["weight"][0, 0] = 5  # what was loaded is the loader's own
    assert torch.equal(load_checkpoint(tmp_path / "run").tensors["weight"], TENSORS["weight"])
    # Readable by hand and by the plain library.
    record = json.loads((place / "state.json").read_text())
    assert (record["format"], record["step"], record["state"]) == (1, 1000, STATE)
    assert torch.equal(load_file(place / "tensors.safetensors")["count"], torch.tensor(7))


DTYPES = st.sampled_from(
    [torch.float32, torch.float64, torch.bfloat16, torch.float16, torch.int64, torch.uint8]
)


@settings(max_examples=25, deadline=None)
@given(
    shapes=st.lists(st.tuples(DTYPES, st.lists(st.integers(0, 4), max_size=3)), max_size=4),
    state=st.dictionaries(st.text(), st.floats() | st.integers() | st.text() | st.none()),
    seed=st.integers(0, 99),
)
def test_any_bits_come_back(
    tmp_path_factory: pytest.TempPathFactory,
    shapes: list[tuple[torch.dtype, list[int]]],
    state: dict[str, Any],
    seed: int,
) -> None:
    draw = torch.Generator().manual_seed(seed)
    tensors: dict[str, Tensor] = {}
    for at, (dtype, shape) in enumerate(shapes):
        size = math.prod(shape) * dtype.itemsize
        bits = torch.randint(0, 256, (size,), generator=draw, dtype=torch.uint8)
        tensors[f"t{at}"] = bits.view(dtype).view(shape)
    folder = tmp_path_factory.mktemp("bits")
    save_checkpoint(folder, 1, tensors, state)
    found = load_checkpoint(folder)
    assert repr(found.state) == repr(state)  # NaN is not equal to itself, but is written alike
    for key, value in state.items():
        if isinstance(value, float) and not math.isnan(value):
            assert struct.pack("d", found.state[key]) == struct.pack("d", value)
    assert found.tensors.keys() == tensors.keys()
    for name, tensor in tensors.items():
        other = found.tensors[name]
        assert (other.dtype, other.shape) == (tensor.dtype, tensor.shape)
        assert torch.equal(
            other.reshape(-1).view(torch.uint8), tensor.reshape(-1).view(torch.uint8)
        )


def test_views_and_ties_are_stored_by_themselves(tmp_path: Path) -> None:
    whole = torch.arange(12.0).view(3, 4)
    tensors = {"whole": whole, "tied": whole, "row": whole[1], "turned": whole.T}
    save_checkpoint(tmp_path, 1, tensors, {})
    found = load_checkpoint(tmp_path).tensors
    assert all(torch.equal(found[name], tensors[name]) for name in tensors)


def test_the_last_n_are_kept(tmp_path: Path) -> None:
    for step in (5, 10, 20, 40):
        save_checkpoint(tmp_path, step, {"step": torch.tensor(step)}, {}, keep=2)
    assert saved_steps(tmp_path) == [20, 40]
    assert latest(tmp_path) == 40
    assert int(load_checkpoint(tmp_path, 20).tensors["step"]) == 20
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["step-00000020", "step-00000040"]


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    for step in (10, 20):
        save_checkpoint(tmp_path, step, {"n": torch.tensor(step)}, {})
    for step in (15, 20):
        with pytest.raises(GraphRecError, match=f"no checkpoint from step {step} on, got step 20"):
            save_checkpoint(tmp_path, step, {"n": torch.tensor(0)}, {})
    assert int(load_checkpoint(tmp_path).tensors["n"]) == 20
    discard_after(tmp_path, 10)
    assert saved_steps(tmp_path) == [10]
    save_checkpoint(tmp_path, 15, {"n": torch.tensor(0)}, {})
    assert saved_steps(tmp_path) == [10, 15]
    discard_after(tmp_path / "nothing", 3)
    assert not (tmp_path / "nothing").exists()


def test_no_checkpoint_or_another_step(tmp_path: Path) -> None:
    assert latest(tmp_path / "nothing") is None
    with pytest.raises(GraphRecError, match=r"expected a checkpoint \(step-…\), got none"):
        load_checkpoint(tmp_path)
    (tmp_path / "step-draft").mkdir()
    save_checkpoint(tmp_path, 10, {}, {})
    with pytest.raises(GraphRecError, match=r"a checkpoint of step 9, got those of steps \[10\]"):
        load_checkpoint(tmp_path, 9)


def corrupt(path: Path, at: int, cut: bool) -> None:
    data = bytearray(path.read_bytes())
    if cut:
        path.write_bytes(data[:at])
    else:
        data[at] ^= 1
        path.write_bytes(data)


@pytest.mark.parametrize("name", ["state.json", "tensors.safetensors"])
@pytest.mark.parametrize("cut", [True, False])
def test_every_byte_counts(tmp_path: Path, name: str, cut: bool) -> None:
    save_checkpoint(tmp_path, 10, {}, {})
    path = save_checkpoint(tmp_path, 20, {"w": torch.arange(3.0)}, {"epoch": 2}) / name
    whole = path.read_bytes()
    for at in range(len(whole)):
        corrupt(path, at, cut)
        try:
            changed = json.loads(path.read_text()) != json.loads(whole)
        except ValueError:
            changed = True
        if changed:  # not a blank of the JSON
            with pytest.raises(GraphRecError, match=r"step=10, which is here|wrote it|UTF-8"):
                load_checkpoint(tmp_path)
        path.write_bytes(whole)
    assert load_checkpoint(tmp_path).step == 20


def test_missing_parts_and_foreign_formats(tmp_path: Path) -> None:
    place = save_checkpoint(tmp_path, 1, {"w": torch.ones(2)}, {})
    state = (place / "state.json").read_text()
    newer = json.loads(state) | {"format": 2, "graphrec_pt": "9.9"}
    (place / "state.json").write_text(json.dumps(newer))
    with pytest.raises(GraphRecError, match=r"checkpoint format 1, got 2; try graphrec_pt 9\.9"):
        load_checkpoint(tmp_path)
    (place / "state.json").write_text("[]")
    with pytest.raises(GraphRecError, match="a JSON object, got list"):
        load_checkpoint(tmp_path)
    (place / "state.json").write_text(state)
    moved = place.rename(tmp_path / "step-00000002")
    with pytest.raises(GraphRecError, match="the tensors that were saved"):
        load_checkpoint(tmp_path)
    (moved / "tensors.safetensors").unlink()
    with pytest.raises(GraphRecError, match=r"a whole checkpoint, got .*; try training anew"):
        load_checkpoint(tmp_path)
    (moved / "state.json").unlink()
    with pytest.raises(GraphRecError, match="the state that was saved"):
        load_checkpoint(tmp_path)


def test_states_that_json_cannot_hold(tmp_path: Path) -> None:
    with pytest.raises(GraphRecError, match=r"a state of JSON values, got .*Tensor"):
        save_checkpoint(tmp_path, 1, {}, {"w": torch.ones(2)})
    with pytest.raises(GraphRecError, match="step >= 0 and keep >= 1, got 1 and 0"):
        save_checkpoint(tmp_path, 1, {}, {}, keep=0)
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(sys.platform != "linux", reason="asks /proc for the name of a descriptor")
def test_everything_is_on_the_disk_before_it_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_checkpoint(tmp_path, 1, {}, {}, keep=1)
    done: list[tuple[str, str]] = []
    flush, rename = os.fsync, Path.rename

    def noted_flush(descriptor: int) -> None:
        flush(descriptor)
        done.append(("flush", Path(f"/proc/self/fd/{descriptor}").readlink().name))

    def noted_rename(path: Path, target: Path) -> Path:
        done.append(("rename", f"{path.name} {Path(target).name}"))
        return rename(path, target)

    monkeypatch.setattr(os, "fsync", noted_flush)
    monkeypatch.setattr(Path, "rename", noted_rename)
    save_checkpoint(tmp_path, 2, {}, {}, keep=1)
    assert done == [
        ("flush", "tensors.safetensors"),
        ("flush", "state.json"),
        ("flush", "made"),
        ("rename", "made step-00000002"),
        ("flush", tmp_path.name),
        ("rename", "step-00000001 step-00000001"),  # into scratch
    ]


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(GraphRecError, match="a folder that can be written"):
        save_checkpoint(tmp_path / "file", 1, {}, {})
    assert (tmp_path / "file").read_text() == "mine"

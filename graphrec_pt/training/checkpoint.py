"""Checkpoints: one atomically written folder per saved step, without pickle.

::

    step-00001000/
        state.json           step, state, format version, digests
        tensors.safetensors  every tensor

A checkpoint is made in a scratch folder and renamed into place; only then are old ones removed. So
a process that is killed at any moment leaves the last finished checkpoint.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import file_digest, sha256
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from graphrec_pt.core.documents import read_json_object
from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.core.scratch import finished_folder, remove
from graphrec_pt.core.version import __version__

FORMAT = 1
_STATE, _TENSORS = "state.json", "tensors.safetensors"
_NAME = re.compile(r"step-(\d{8,})")


@dataclass(frozen=True, eq=False, slots=True)
class Checkpoint:
    """The content of a checkpoint.

    Args:
        step: Optimiser steps done.
        tensors: By name, on the CPU.
        state: JSON values by name.
    """

    step: int
    tensors: dict[str, Tensor]
    state: dict[str, Any]


def save_checkpoint(
    folder: str | Path,
    step: int,
    tensors: Mapping[str, Tensor],
    state: Mapping[str, Any],
    keep: int = 2,
) -> Path:
    """Save a step and remove all but the last `keep`; nothing is ever overwritten.

    Args:
        folder: Holds the checkpoints of one run.
        step: Optimiser steps done; more than in any checkpoint of the folder.
        tensors: By name, any device and layout; each is stored by itself, views and ties too.
        state: JSON values by name. Floats come back to the bit, tuples as lists.
        keep: Checkpoints left afterwards, this one included.

    Returns:
        The folder of the checkpoint.

    Raises:
        GraphRecError: For a step not after the last one, a state that JSON cannot hold, and a
            disk that cannot be written.
    """
    folder = Path(folder)
    if step < 0 or keep < 1:
        raise GraphRecError("save_checkpoint", "step >= 0 and keep >= 1", f"{step} and {keep}")
    last = latest(folder)
    if last is not None and last >= step:
        hint = f"resuming from step {last}, discard_after(folder, step) or another folder"
        raise GraphRecError(str(folder), f"no checkpoint from step {step} on", f"step {last}", hint)
    record = {"format": FORMAT, "graphrec_pt": __version__, "step": step, "state": dict(state)}
    _digest(record)  # raises for a state that is not JSON before any file is written
    with finished_folder(place := _place(folder, step)) as made:
        try:
            save_file(_separate(tensors), made / _TENSORS)
        except SafetensorError as error:
            raise OSError(f"{_TENSORS}: {error}") from error
        record["tensors"] = _digest_of_file(made / _TENSORS)
        text = json.dumps({**record, "digest": _digest(record)}, indent=1)
        (made / _STATE).write_text(text, encoding="utf-8")
    _remove(folder, saved_steps(folder)[:-keep])
    return place


def load_checkpoint(folder: str | Path, step: int | None = None) -> Checkpoint:
    """Load a step, the last one by default, and check its digests.

    Raises:
        GraphRecError: When there is no such checkpoint, or it was cut short or changed; another
            one is never taken in its place.
    """
    folder = Path(folder)
    steps = saved_steps(folder)
    if not steps:
        raise GraphRecError(str(folder), "a checkpoint (step-…)", "none", "a folder of a run")
    step = steps[-1] if step is None else step
    if step not in steps:
        raise GraphRecError(str(folder), f"a checkpoint of step {step}", f"those of steps {steps}")
    place = _place(folder, step)
    others = [other for other in steps if other != step]
    hint = f"step={others[-1]}, which is here too" if others else "training anew"
    record = _read_record(place / _STATE, hint)
    tensors = place / _TENSORS
    try:
        digest = _digest_of_file(tensors)
        if digest != record["tensors"] or record["step"] != step:
            raise GraphRecError(str(tensors), "the tensors that were saved", "others", hint)
        return Checkpoint(step, load_file(tensors), record["state"])
    except (OSError, SafetensorError, KeyError) as error:
        raise GraphRecError(str(place), "a whole checkpoint", error, hint) from error


def saved_steps(folder: str | Path) -> list[int]:
    """Return the steps that a folder has checkpoints of, ascending."""
    names = (_NAME.fullmatch(path.name) for path in Path(folder).glob("step-*"))
    return sorted(int(name[1]) for name in names if name)


def latest(folder: str | Path) -> int | None:
    """Return the last saved step, or None without a checkpoint."""
    return max(saved_steps(folder), default=None)


def discard_after(folder: str | Path, step: int) -> None:
    """Remove the checkpoints of later steps, so that training can branch off at `step`."""
    _remove(Path(folder), [other for other in saved_steps(folder) if other > step][::-1])


def _place(folder: Path, step: int) -> Path:
    return folder / f"step-{step:08d}"


def _separate(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return contiguous tensors on the CPU of which no two share memory."""
    parts: dict[str, Tensor] = {}
    taken: set[int] = set()
    for name, tensor in tensors.items():
        part = tensor.detach().cpu().contiguous()
        storage = part.untyped_storage()
        if storage.data_ptr() in taken or storage.nbytes() != part.nbytes:
            part = part.clone()
        taken.add(part.untyped_storage().data_ptr())
        parts[name] = part
    return parts


def _read_record(path: Path, hint: str) -> dict[str, Any]:
    try:
        record = read_json_object(path, hint)
    except OSError as error:
        raise GraphRecError(str(path), "the state that was saved", error, hint) from error
    if record.get("format") != FORMAT:
        advice = f"graphrec_pt {record.get('graphrec_pt', '?')}, which wrote it"
        raise GraphRecError(str(path), f"checkpoint format {FORMAT}", record.get("format"), advice)
    digest = record.pop("digest", None)
    if digest != _digest(record):
        raise GraphRecError(str(path), "the state that was saved", "another", hint)
    return record


def _digest(record: Mapping[str, Any]) -> str:
    try:
        return sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()
    except (TypeError, ValueError) as error:
        raise GraphRecError("save_checkpoint", "a state of JSON values", error) from error


def _digest_of_file(path: Path) -> str:
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()


def _remove(folder: Path, steps: Sequence[int]) -> None:
    for step in steps:
        remove(_place(folder, step))

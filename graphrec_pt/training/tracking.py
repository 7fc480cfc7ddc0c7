"""Metrics of a run: one JSON line per logged step, and optional trackers."""

import json
import math
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from graphrec_pt.core.documents import parse_json, read_text
from graphrec_pt.core.errors import GraphRecError, did_you_mean
from graphrec_pt.core.scratch import open_log, write_text, writing

METRICS = "metrics.jsonl"
LOG_BYTES = 1 << 30
"""The metrics of a run at most, in bytes."""
TRACKERS = ("tensorboard", "wandb", "mlflow")


class Tracking:
    """Writes ``metrics.jsonl``, and logs to the chosen trackers of accelerate.

    Every line is an object with ``step`` and the values of that step, and is handed to the system
    at once, so a killed run keeps what it told. Tell a step before its checkpoint is saved: a run
    that resumes drops the lines of steps after the one it resumes from, and repeats them.

    Args:
        folder: Of the run; trackers that keep files keep them in ``track/`` below, but mlflow where
            ``MLFLOW_TRACKING_URI`` says.
        trackers: Any of ``tensorboard``, ``wandb`` and ``mlflow``; they need the extra ``track``.
        run: Project or experiment of the trackers.
        config: Options of the run, for the trackers.
        resumed: Step of the checkpoint that the run goes on from; None for a new run.
        validates: Whether the run goes on with the validation of that step.

    Raises:
        GraphRecError: For an unknown tracker or one that is not installed, for a new run where
            another one wrote, and for lines that are not JSON.
    """

    def __init__(
        self,
        folder: str | Path,
        trackers: Sequence[str] = (),
        *,
        run: str = "graphrec",
        config: Mapping[str, Any] | None = None,
        resumed: int | None = None,
        validates: bool = False,
    ) -> None:
        for name in trackers:
            _check_tracker(name)
        self.path = Path(folder) / METRICS
        _go_on(self.path, resumed, validates)
        self._file = open_log(self.path)
        self._trackers = [_start(name, run, self.path.parent, resumed) for name in trackers]
        for tracker in self._trackers if resumed is None else ():
            tracker.store_init_configuration(_flat(config or {}))

    def log(self, step: int, values: Mapping[str, float | str | None]) -> None:
        """Log the values of a step; NaN and infinities become null, which JSON can hold."""
        finite = {name: _finite(value) for name, value in values.items()}
        with writing(self.path.parent):
            self._file.write(json.dumps({"step": step, **finite}, allow_nan=False) + "\n")
            self._file.flush()
        numbers = {name: each for name, each in finite.items() if isinstance(each, int | float)}
        for tracker in self._trackers:
            tracker.log(numbers, step=step)

    def close(self) -> None:
        """Close the file and the trackers."""
        self._file.close()
        for tracker in self._trackers:
            tracker.finish()
        self._trackers = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def read_metrics(folder: str | Path) -> list[dict[str, Any]]:
    """Return the lines that a run logged; a last line that was cut short is left out.

    Raises:
        GraphRecError: When there are none, or for a line that is not an object with a step.
    """
    path = Path(folder) / METRICS
    try:
        *lines, _ = read_text(path, LOG_BYTES).split("\n")
    except OSError as error:
        raise GraphRecError(str(path), "the metrics of a run", error) from error
    records = []
    for number, line in enumerate(lines, start=1):
        record = parse_json(line, f"{path}:{number}")
        if not isinstance(record, dict) or not isinstance(record.get("step"), int):
            raise GraphRecError(f"{path}:{number}", "an object with a step", line[:80])
        records.append(record)
    return records


def _go_on(path: Path, resumed: int | None, validates: bool) -> None:
    """Truncate the file to the lines up to the resumed step, atomically."""
    if not path.exists() or not path.stat().st_size:
        return
    if resumed is None:
        hint = "resuming it, or another folder"
        raise GraphRecError(str(path), "no metrics before a new run", "those of a run", hint)

    def stays(record: Mapping[str, Any]) -> bool:
        repeated = validates and any(name.startswith("valid/") for name in record)
        return bool(record["step"] < resumed + (not repeated))

    kept = [record for record in read_metrics(path.parent) if stays(record)]
    write_text(path, "".join(json.dumps(record) + "\n" for record in kept))


def _check_tracker(name: str) -> None:
    if name not in TRACKERS:
        raise GraphRecError("tracking", "a known tracker", repr(name), did_you_mean(name, TRACKERS))
    if find_spec(name) is None:
        hint = "pip install 'graphrec-pt[track]'"
        raise GraphRecError("tracking", f"the package {name} to be installed", "", hint)


def _start(name: str, run: str, folder: Path, resumed: int | None) -> Any:
    """Return a started tracker of accelerate; a resumed run continues the tracker's run."""
    from accelerate import PartialState
    from accelerate.tracking import LOGGER_TYPE_TO_CLASS

    PartialState()  # the trackers ask it which process they are in
    home = folder / "track"
    home.mkdir(exist_ok=True)
    note = home / f"{name}.id"
    known = note.read_text() if resumed is not None and note.exists() else None
    options: dict[str, dict[str, Any]] = {
        # Points of steps that are repeated after a resume are hidden.
        "tensorboard": {
            "logging_dir": home,
            "purge_step": None if resumed is None else resumed + 1,
        },
        "wandb": {"dir": str(home), "id": known, "resume": "allow"},
        "mlflow": {"run_id": known},
    }
    tracker = LOGGER_TYPE_TO_CLASS[name](run, **options[name])
    tracker.start()
    if name == "wandb":
        write_text(note, tracker.tracker.id)
    elif name == "mlflow":
        write_text(note, tracker.tracker.info.run_id)
    return tracker


def _flat(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return options as trackers take them: single values, the others as JSON."""
    return {
        name: value if isinstance(value, bool | int | float | str) else json.dumps(value)
        for name, value in config.items()
    }


def _finite(value: float | str | None) -> float | str | None:
    return None if isinstance(value, float) and not math.isfinite(value) else value

"""Metrics survive kills and resumes; trackers are asked for by name."""

import importlib.util
import json
import os
import subprocess
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

import pytest

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.training import tracking
from graphrec_pt.training.tracking import Tracking, read_metrics


def steps(folder: Path) -> list[int]:
    return [record["step"] for record in read_metrics(folder)]


def test_a_line_for_each_step(tmp_path: Path) -> None:
    with Tracking(tmp_path / "run") as told:
        told.log(1, {"loss/mnp": 2.5, "phase": "warm", "seen": 3})
        # Nothing waits for the end of the run.
        lines = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
        assert [json.loads(line) for line in lines] == [
            {"step": 1, "loss/mnp": 2.5, "phase": "warm", "seen": 3}
        ]
        told.log(2, {"loss/mnp": float("nan"), "lr": float("inf"), "none": None})
    last = {"step": 2, "loss/mnp": None, "lr": None, "none": None}
    assert read_metrics(tmp_path / "run")[1] == last
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["metrics.jsonl"]


@pytest.mark.parametrize("torn", ["", '{"step": 5, "lo'])
def test_a_resumed_run_repeats_what_came_after(tmp_path: Path, torn: str) -> None:
    with Tracking(tmp_path) as told:
        for step in (1, 2, 3, 4):
            told.log(step, {"loss": 0.1 + step, "run": 1})
    path = tmp_path / "metrics.jsonl"
    before = path.read_text().splitlines()
    with path.open("a") as file:
        file.write(torn)
    assert steps(tmp_path) == [1, 2, 3, 4]
    with Tracking(tmp_path, resumed=2) as told:
        assert steps(tmp_path) == [1, 2]
        told.log(3, {"run": 2})
    assert steps(tmp_path) == [1, 2, 3]
    assert path.read_text().splitlines()[:2] == before[:2]
    assert read_metrics(tmp_path)[2] == {"step": 3, "run": 2}
    assert [found.name for found in tmp_path.iterdir()] == ["metrics.jsonl"]


def test_resumed_without_metrics(tmp_path: Path) -> None:
    with Tracking(tmp_path, resumed=7) as told:
        told.log(8, {})
    assert steps(tmp_path) == [8]


def test_a_new_run_leaves_an_old_one_alone(tmp_path: Path) -> None:
    with Tracking(tmp_path) as told:
        told.log(1, {"loss": 1.0})
    with pytest.raises(GraphRecError, match="no metrics before a new run"):
        Tracking(tmp_path)
    assert steps(tmp_path) == [1]


@pytest.mark.parametrize(
    ("line", "message"),
    [("{", r"metrics.jsonl:2: expected JSON"), ("[1]", "jsonl:2: .* with a step")],
)
def test_foreign_lines(tmp_path: Path, line: str, message: str) -> None:
    text = f'{{"step": 1}}\n{line}\n{{"step": 2}}\n'
    (tmp_path / "metrics.jsonl").write_text(text)
    with pytest.raises(GraphRecError, match=message):
        Tracking(tmp_path, resumed=1)
    assert (tmp_path / "metrics.jsonl").read_text() == text
    with pytest.raises(GraphRecError, match="the metrics of a run"):
        read_metrics(tmp_path / "nothing")


KILLED = """
import os, signal, sys
from graphrec_pt.training.tracking import Tracking
told = Tracking(sys.argv[1])
for step in range(1, 4):
    told.log(step, {"loss": 1.0})
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="kills")
def test_a_killed_run_keeps_what_it_told(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], check=False)
    assert done.returncode == -9
    assert steps(tmp_path) == [1, 2, 3]


def test_unknown_trackers_and_missing_packages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(GraphRecError, match="got 'tensorbord'; did you mean 'tensorboard'"):
        Tracking(tmp_path / "run", ["tensorbord"])
    find = importlib.util.find_spec

    def without_wandb(name: str) -> ModuleSpec | None:
        return None if name == "wandb" else find(name)

    monkeypatch.setattr(tracking, "find_spec", without_wandb)
    message = r"the package wandb to be installed; try pip install 'graphrec-pt\[track\]'"
    with pytest.raises(GraphRecError, match=message):
        Tracking(tmp_path / "run", ["wandb"])
    assert not (tmp_path / "run").exists()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_tensorboard_reads_what_was_told(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    options: dict[str, Any] = {"run": "toy", "config": {"lr": 0.1, "layers": [1, 2], "none": None}}
    with Tracking(tmp_path, ["tensorboard"], **options) as told:
        for step in (1, 2, 3):
            told.log(step, {"loss": step / 2, "note": "text", "bad": float("nan")})
    with Tracking(tmp_path, ["tensorboard"], **options, resumed=2) as told:
        told.log(3, {"loss": 9.0})
    found = EventAccumulator(str(tmp_path / "track" / "toy"))
    found.Reload()
    points = [(event.step, event.value) for event in found.Scalars("loss")]
    assert points == [(1, 0.5), (2, 1.0), (3, 9.0)]
    assert found.Tags()["scalars"] == ["loss"]
    assert steps(tmp_path) == [1, 2, 3]


TRACKED = """
import sys
from graphrec_pt.training.tracking import Tracking
folder, name = sys.argv[1:]
with Tracking(folder, [name], run="toy", config={"lr": 0.1, "layers": [1, 2]}) as told:
    for step in (1, 2, 3):
        told.log(step, {"loss": step / 2, "bad": float("nan")})
first = (told.path.parent / "track" / f"{name}.id").read_text()
with Tracking(folder, [name], run="toy", resumed=2) as told:
    told.log(3, {"loss": 9.0})
print(first == (told.path.parent / "track" / f"{name}.id").read_text())
"""


@pytest.mark.parametrize("name", ["wandb", "mlflow"])
def test_a_resumed_run_is_the_same_one_for_its_tracker(tmp_path: Path, name: str) -> None:
    if importlib.util.find_spec(name) is None:
        pytest.skip(f"{name} is not installed")
    home = {
        "WANDB_MODE": "offline",
        "WANDB_SILENT": "true",
        "MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path}/mlflow.db",
    }
    done = subprocess.run(
        [sys.executable, "-c", TRACKED, str(tmp_path), name],
        env=os.environ | home,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[-1] == "True"
    assert steps(tmp_path) == [1, 2, 3]

"""Commands that are killed, or whose files fail, at a chosen point; then they go on.

A point is anything that a command asks the system to do with a file of its folder, an optimiser
step, or a set of metrics. This process imports the library once and forks every victim, so that
start-up is not part of what is killed. Run as a program, which prints a line of JSON a victim:
``faults.py run FOLDER KILLS SEED HOW…`` or ``faults.py once FOLDER POINTS SEED HOW…``.
"""

import errno
import hashlib
import importlib
import json
import os
import random
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import graphrec_pt.cli.tables
import graphrec_pt.recipe.run as recipe_run
import graphrec_pt.serve.report.write  # noqa: F401  imported before the first fork
from graphrec_pt.cli import main
from graphrec_pt.training.optimizer_loop import OptimizerLoop

WATCHED = {"open", "os.rename", "os.mkdir", "os.remove", "os.rmdir", "os.listdir", "os.scandir"}
WATCHED |= {"os.truncate", "shutil.rmtree", "fcntl.flock"}
KILL, FAIL, TERM, HANG_UP = "kill", "fail", "SIGTERM", "SIGHUP"
RECIPE = """
name: faults
data: {card: amazon-beauty}
model: {backbone: {name: graph_transformer, width: 8, layers: 1, mode: causal, dropout: 0.2}}
stages:
  - name: pretrain
    sampler: {name: history, window: 8}
    linearizer: history
    objectives: [next_item]
    batch: 8
    steps: 6
  - name: finetune
    sampler: {name: history, window: 8}
    linearizer: history
    objectives: [next_item]
    strategy: finetune_whole
    batch: 8
    epochs: 2
seeds: [0, 1]
evaluate: {metrics: [ndcg@5], baselines: [popularity]}
options: {cpu: true, watch: ndcg@5, checkpoint_every: 2, log_every: 2, average: 0.9}
"""
"""Pre-training, adaptation, a control from scratch, and two seeds, in a second or two."""


def write_raw(folder: Path) -> None:
    """Write histories of 24 users and attributes of 12 items."""
    folder.mkdir(parents=True)
    draw = random.Random(1)
    lines = [f"{u} " + " ".join(map(str, draw.sample(range(1, 13), 6))) for u in range(1, 25)]
    (folder / "Beauty.txt").write_text("\n".join(lines) + "\n")
    attributes = {str(item): [item % 3 + 1] for item in range(1, 13)}
    (folder / "Beauty_item2attributes.json").write_text(json.dumps(attributes))
    (folder / "recipe.yaml").write_text(RECIPE)


def run_command(raw: Path, out: Path) -> list[str]:
    return ["run", str(raw / "recipe.yaml"), "--raw", str(raw), "--out", str(out), "--resume"]


def result_of(out: Path) -> dict[str, Any]:
    """Return what a run made: weights, outcomes and numbers, without times."""
    files = [*out.glob("**/model/*.safetensors"), *out.glob("**/*.parquet")]
    files += [*out.glob("pretrained/*.safetensors"), *out.glob("history/*.npy")]
    found: dict[str, Any] = {
        path.relative_to(out).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(set(files))
    }
    metrics = json.loads((out / "metrics.json").read_text())
    timed = ("seconds", "peak_memory_mb", "digest", "files")  # the log in them tells times
    found["metrics"] = {name: value for name, value in metrics.items() if name not in timed}
    for log in sorted(out.glob("**/metrics.jsonl")):
        rows = [json.loads(line) for line in log.read_text().splitlines()]
        for row in rows:
            row.pop("tokens_per_second", None)
        found[log.relative_to(out).as_posix()] = rows
    return found


class Points:
    """Counts points, and acts at one of them; installed in a process that is about to end."""

    def __init__(self, folder: Path, at: int | None, how: str) -> None:
        self.folder, self.at, self.how, self.count = str(folder), at, how, 0
        self.last = ""

    def install(self) -> None:
        sys.addaudithook(self._audit)
        flush = os.fsync

        def fsync(descriptor: int) -> None:
            self.point("fsync")
            flush(descriptor)

        os.fsync = fsync
        for module, name in (
            (OptimizerLoop, "step"),
            (recipe_run, "evaluate"),
        ):
            setattr(module, name, self._counted(getattr(module, name), name))

    def _counted(self, call: Callable[..., Any], name: str) -> Callable[..., Any]:
        def counted(*args: Any, **options: Any) -> Any:
            self.point(name)
            return call(*args, **options)

        return counted

    def _audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event == "fcntl.flock" or (
            event in WATCHED and any(self.folder in str(each) for each in arguments)
        ):
            self.point(event)

    def point(self, name: str) -> None:
        self.count += 1
        if self.count != self.at:
            return
        if self.how == FAIL and name in ("step", "evaluate"):  # no file can fail there
            self.at += 1
            return
        self.last = name
        if self.how == FAIL:
            raise OSError(errno.EIO, "an injected fault")
        os.write(3, name.encode())
        os.kill(os.getpid(), signal.SIGKILL if self.how == KILL else signal.Signals[self.how])


def victim(command: list[str], folder: Path, at: int | None, how: str) -> dict[str, Any]:
    """Run a command in a forked process that something happens to at a point; return what came.

    Args:
        command: Arguments of ``graphrec``.
        folder: Whose files are watched.
        at: Number of the point, from 1; None for an undisturbed run.
        how: What happens there.
    """
    said = folder.parent / "said"
    read, write = os.pipe()
    child = os.fork()
    if not child:
        os.close(read)
        os.dup2(write, 3)
        screen = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(screen, 1)
        os.dup2(screen, 2)
        points = Points(folder, at, how)
        points.install()
        status = 70
        try:
            status = main(command)
        finally:
            sys.stdout.flush()
            text = points.last if points.last and how == FAIL else f"end {points.count}"
            os.write(3, text.encode())
            (folder.parent / "modules").write_text("\n".join(sys.modules))
            os._exit(status)
    os.close(write)
    with os.fdopen(read) as pipe:
        where = pipe.read()
    _, status = os.waitpid(child, 0)
    return {
        "how": how,
        "at": at,
        "where": where,
        "status": os.waitstatus_to_exitcode(status),
        "said": said.read_text(errors="replace"),
    }


def preload(folder: Path) -> None:
    """Import what the last victim that ended by itself had imported: the next ones are faster."""
    for name in (folder.parent / "modules").read_text().splitlines():
        with suppress(Exception):
            importlib.import_module(name)


def chains(
    command: list[str], out: Path, whole: int, kills: int, draw: random.Random, ways: list[str]
) -> Iterator[dict[str, Any]]:
    """Disturb runs until there were so many disturbances; each run goes on until it has finished.

    Args:
        command: Goes on where it was stopped.
        out: Its folder; removed between runs.
        whole: Points of an undisturbed run.
        kills: How many.
        draw: Of the points.
        ways: What may happen at a point.
    """
    done = 0
    while done < kills:
        shutil.rmtree(out, ignore_errors=True)
        while True:
            # A third of a run at most, so that one run is stopped several times.
            more = done < kills
            at = draw.randrange(1, max(whole // 3, 2)) if more else None
            found = victim(command, out, at, draw.choice(ways))
            disturbed = not found["where"].startswith("end")
            done += disturbed
            yield found
            if found["status"] == 0:
                break


def disturbed_runs(
    folder: Path, kills: int, seed: int, ways: list[str]
) -> Iterator[dict[str, Any]]:
    """Yield what came of every victim, and at the end of each run whether it is as undisturbed."""
    write_raw(folder / "raw")
    out = folder / "expected" / "run"
    out.parent.mkdir()
    first = victim(run_command(folder / "raw", out), out, None, KILL)
    assert first["status"] == 0, first["said"]
    preload(out)
    expected, whole = result_of(out), int(first["where"].split()[1])
    yield {"points": whole}
    out = folder / "disturbed" / "run"
    out.parent.mkdir()
    draw = random.Random(seed)
    for found in chains(run_command(folder / "raw", out), out, whole, kills, draw, ways):
        if found["status"] == 0:
            now = result_of(out)
            names = expected.keys() | now.keys()
            found["different"] = [n for n in sorted(names) if expected.get(n) != now.get(n)]
        yield found


def tree_of(out: Path) -> dict[str, str]:
    """Return the digest of every file below a folder."""
    files = sorted(path for path in out.rglob("*") if path.is_file())
    return {str(p.relative_to(out)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def disturbed_folders(
    folder: Path, points: int, seed: int, ways: list[str]
) -> Iterator[dict[str, Any]]:
    """Disturb ``data build`` and ``export`` at points of theirs, each once, and run them again.

    Their folders must be whole or not there after it, and the same as undisturbed ones at the end.
    """
    raw, run, draw = folder / "raw", folder / "run", random.Random(seed)
    write_raw(raw)
    few = ["seeds=[0]", "evaluate.scratch=false", "stages.0.steps=1", "stages.1.epochs=1"]
    assert victim([*run_command(raw, run), *few], run, None, KILL)["status"] == 0
    preload(run)
    for command in (
        ["data", "build", "amazon-beauty", "--raw", str(raw), "--out"],
        ["export", str(run), "--to", "embeddings", "--out"],
    ):
        expected, out = folder / command[0] / "expected", folder / command[0] / "out"
        first = victim([*command, str(expected)], expected.parent, None, KILL)
        assert first["status"] == 0, first["said"]
        wanted, whole = tree_of(expected), int(first["where"].split()[1])
        chosen = range(1, whole + 1) if points >= whole else draw.sample(range(1, whole), points)
        for at in chosen:
            found = victim([*command, str(out)], out.parent, at, draw.choice(ways))
            found |= {"command": command[0], "points": whole, "torn": False}
            if out.exists():
                found["torn"] = tree_of(out) != wanted
                shutil.rmtree(out)
            again = victim([*command, str(out)], out.parent, None, KILL)
            found["different"] = [] if tree_of(out) == wanted else [again["said"]]
            found["left"] = [p.name for p in out.parent.iterdir() if p not in (out, expected)]
            shutil.rmtree(out, ignore_errors=True)
            yield found


if __name__ == "__main__":
    disturb = {"run": disturbed_runs, "once": disturbed_folders}[sys.argv[1]]
    for line in disturb(Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]), sys.argv[5:]):
        print(json.dumps(line), flush=True)

"""What a version of the library computes, recorded, and two recordings compared to the bit.

Usage: python benchmarks/record.py record OUT.json [--only smoke|long] [NAME …] [--like BEFORE.json]
       python benchmarks/record.py compare BEFORE.json AFTER.json [--shared]

The version is the one that `python -c "import graphrec_pt"` finds, so ``PYTHONPATH=TREE`` chooses.
Smoke runs are those of the tests, every recipe for twenty steps on an invented shop; long ones are
short courses on MovieLens 100K, called ``long NAME``. OUT is written after each run; what it holds
already is not run again. ``--like`` takes the invented shop from an earlier recording, so that two
versions see the same files even if the tests have changed between them.

Only what users rely on is called and read: the command line, and the files of a run's folder.
Runs go one after another, each in a process of its own, with one thread.
"""

import argparse
import importlib.util
import json
import os
import platform
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml
from sections.recorded import differences, recorded

ROOT = Path(__file__).parents[1]
LONG = "long "
ONE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "OMP_WAIT_POLICY": "passive",
    "NUMBA_NUM_THREADS": "1",
    "POLARS_MAX_THREADS": "1",
}
SMALL = ("model.backbone.width=16", "model.backbone.layers=1", "options.cpu=true")
FEW = "evaluate.baselines=[popularity, markov]"
WORDS = "{name: static_text, columns: [keywords]}"
CODES = f"{{name: codes, digits: 8, values: 8, of: {WORDS}}}"
INSTEAD = {
    "unisrec": (f"model.features.by_type.item=[{WORDS}]",),
    "vq_rec": (f"model.features.by_type.item=[{CODES}]",),
}
"""What stands for pre-trained encoders, by recipe."""
COURSES: dict[str, tuple[str, ...]] = {
    "sasrec": ("stages.0.epochs=10",),
    "bert4rec": ("stages.0.epochs=20",),
    "chest": (
        "stages.0.epochs=0.2",
        "stages.1.epochs=0.1",
        "stages.2.epochs=5",
        "stages.3.epochs=0.15",
    ),
    "pearlm": (
        "data.split=leave_one_out",
        "stages.0.steps=60",
        "stages.1.steps=100",
        "stages.1.objectives.0.decode.beams=8",
        "stages.1.sampler.relations=[rates, followed_by]",
    ),
    "ppr": ("stages.0.epochs=6", "stages.1.epochs=6"),
    "flagship": ("stages.0.steps=40", "budget=100"),
}
"""Changes to the recipes for a short course on MovieLens 100K."""


def smoke_options(name: str) -> list[str]:
    """Return the changes by which the tests make a recipe small; `name` is a shipped one's."""
    content = yaml.safe_load((ROOT / "recipes" / f"{name}.yaml").read_text())
    ranks = content.get("evaluate", {}).get("task", "ranking") == "ranking"
    stages = range(len(content["stages"]))
    changes = [f"stages.{n}.{what}" for what in ("steps=20", "batch=16") for n in stages]
    few = [FEW] if ranks else []
    pairs = [
        f"stages.{len(stages) - 1}.objectives.{n}.rerank=4"
        for n, each in enumerate(content["stages"][-1]["objectives"])
        if isinstance(each, dict) and "rerank" in each
    ]
    return [*SMALL, *INSTEAD.get(name, ()), *few, *changes, *pairs]


def options_of(name: str) -> list[str]:
    """Return the recipe of a run, and its changes."""
    if name.startswith(LONG):
        recipe = name.removeprefix(LONG)
        return [recipe, "data.card=movielens-100k", "options.cpu=true", *COURSES[recipe]]
    return [name, *smoke_options(name)]


def invented_shop() -> dict[str, str]:
    """Return the raw files on which the tests run the recipes, by name."""
    file = ROOT / "tests" / "recipe" / "conftest.py"
    spec = importlib.util.spec_from_file_location("shop", file)
    assert spec is not None
    assert spec.loader is not None
    tests = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tests)
    with TemporaryDirectory() as folder:

        class Folders:
            """Stands for pytest's maker of folders."""

            def mktemp(self, name: str) -> Path:
                return Path(folder)

        tests.raw.__wrapped__(Folders())
        found = sorted(path for path in Path(folder).rglob("*") if path.is_file())
        return {path.relative_to(folder).as_posix(): path.read_text("utf-8") for path in found}


def one(job: dict[str, Any]) -> dict[str, Any]:
    """Run a job in a process of its own and return what it computed, or why it failed."""
    with TemporaryDirectory(prefix="record-") as scratch:
        job["folder"] = f"{scratch}/run"
        for file, text in job.pop("files").items():
            path = Path(scratch, "raw", file)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            job["given"] = ["--raw", f"{scratch}/raw"]
        answer = Path(scratch, "answer.json")
        command = [sys.executable, __file__, "one", json.dumps(job), str(answer)]
        begun = time.monotonic()
        done = subprocess.run(
            command, env=os.environ | ONE_THREAD, capture_output=True, text=True, check=False
        )
        if done.returncode or not answer.exists():
            said = (done.stderr.strip() or "nothing").splitlines()[-1]
            return {"failed": done.returncode, "said": said}
        found: dict[str, Any] = json.loads(answer.read_text("utf-8"))
        return {"wall seconds": round(time.monotonic() - begun, 1), **found}


def record(out: Path, names: list[str], like: Path | None, cache: Path | None) -> int:
    """Record runs to a file, each as soon as it is done; return how many failed."""
    found: dict[str, Any] = json.loads(out.read_text("utf-8")) if out.exists() else {}
    if "shop" not in found:
        earlier = json.loads(like.read_text("utf-8")) if like else {}
        found = {"about": about(), "shop": earlier.get("shop") or invented_shop(), "runs": {}}
    runs, failed = found["runs"], 0
    for name in names:
        if name in runs and "failed" not in runs[name]:
            continue
        long = name.startswith(LONG)
        given = ["--cache", str(cache)] if long and cache else []
        job = {"run": options_of(name), "given": given, "files": {} if long else found["shop"]}
        runs[name] = {"options": job["run"], **one(job)}
        failed += "failed" in runs[name]
        made = out.with_suffix(".part")
        made.write_text(json.dumps(found) + "\n", encoding="utf-8")
        made.replace(out)
        outcome = runs[name].get("said") or f"{runs[name]['wall seconds']} s"
        print(f"{name}: {outcome}", flush=True)
    return failed


def about() -> dict[str, str]:
    """Return what else results depend on, for information: it is not compared."""
    import graphrec_pt

    tree = Path(graphrec_pt.__file__ or "").parents[1]
    told = subprocess.run(
        ["git", "-C", str(tree), "rev-parse", "HEAD"], capture_output=True, text=True, check=False
    )
    libraries = {name: version(name) for name in ("torch", "numpy", "numba", "polars", "usearch")}
    return {
        "tree": str(tree),
        "commit": told.stdout.strip(),
        "python": platform.python_version(),
        "machine": platform.platform(),
        **libraries,
    }


def compare(before: Path, after: Path, shared: bool) -> int:
    """Print a line for each run, equal or what differs; return 1 if anything does.

    Args:
        before: One recording.
        after: The other.
        shared: Leave out runs that only one of them has.
    """
    old, new = (json.loads(path.read_text("utf-8")) for path in (before, after))
    for what, value in old["about"].items():
        if what not in ("tree", "commit") and new["about"].get(what) != value:
            print(f"note: {what} was {value}, is {new['about'].get(what)}")
    differ = old["shop"] != new["shop"]
    if differ:
        print("the invented shop: DIFFERS; record the second with --like the first")
    for name in old["runs"] | new["runs"]:
        if shared and not (name in old["runs"] and name in new["runs"]):
            continue
        found = differences(old["runs"].get(name), new["runs"].get(name))
        print(f"{name}: {'; '.join(found) if found else 'equal'}")
        differ |= bool(found)
    return int(differ)


def main() -> int:
    if sys.argv[1:2] == ["one"]:  # the process of one run
        job = json.loads(sys.argv[2])
        Path(sys.argv[3]).write_text(json.dumps(recorded(job)), encoding="utf-8")
        return 0
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    commands = parser.add_subparsers(dest="command", required=True)
    making = commands.add_parser("record")
    making.add_argument("out", type=Path, metavar="OUT.json")
    making.add_argument("names", nargs="*", metavar="NAME", help="recipes; by default all")
    making.add_argument("--only", choices=("smoke", "long"))
    making.add_argument("--like", type=Path, metavar="BEFORE.json", help="take its invented shop")
    making.add_argument("--cache", type=Path, help="where the library keeps what it downloads")
    judging = commands.add_parser("compare")
    judging.add_argument("before", type=Path, metavar="BEFORE.json")
    judging.add_argument("after", type=Path, metavar="AFTER.json")
    judging.add_argument("--shared", action="store_true", help="of runs that both have")
    arguments = parser.parse_args()
    if arguments.command == "compare":
        return compare(arguments.before, arguments.after, arguments.shared)
    smoke = sorted(path.stem for path in (ROOT / "recipes").glob("*.yaml"))
    if unknown := set(arguments.names) - {*smoke}:
        parser.error(f"no recipes {', '.join(sorted(unknown))}; there are {', '.join(smoke)}")
    names = [] if arguments.only == "long" else smoke
    names = names + ([] if arguments.only == "smoke" else [LONG + name for name in COURSES])
    if arguments.names:
        names = [name for name in names if name.removeprefix(LONG) in arguments.names]
    return int(record(arguments.out, names, arguments.like, arguments.cache) > 0)


if __name__ == "__main__":
    sys.exit(main())

"""Kill, signal and fail runs, builds and exports at points spread over all they do; count.

Usage: nice python benchmarks/kills.py [--kills 200] [--faults 60] [--points 40] [--seed 0]

Every run goes on after each disturbance until it has finished; its weights, ranks, metrics and log
must be those of an undisturbed run, to the bit. The counts go to ``benchmarks/results/kills.json``.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

ROOT = Path(__file__).parents[1]
RESULT = ROOT / "benchmarks" / "results" / "kills.json"
ONE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "OMP_WAIT_POLICY": "passive",
    "NUMBA_NUM_THREADS": "1",
    "POLARS_MAX_THREADS": "1",
}
BEGUN = time.monotonic()
RESULTS: dict[str, Any] = {}
PARTS = {
    "killed runs": ("run", "kills", ["kill"]),
    "failing and signalled runs": ("run", "faults", ["fail", "SIGTERM", "SIGHUP"]),
    "builds and exports": ("once", "points", ["kill", "fail", "SIGTERM"]),
}


def counted(what: str, count: int, seed: int, ways: list[str], result: dict[str, Any]) -> None:
    """Add what came of a part to a result, after every victim."""
    where: Counter[str] = Counter()
    found = {"disturbed": 0, "finished": 0, "different": 0, "tracebacks": 0, "torn": 0, "odd": []}
    result |= {"where": where, **found}
    with TemporaryDirectory() as folder:
        command = [sys.executable, "-W", "ignore", "-m", "tests.faults", what, f"{folder}/work"]
        Path(folder, "work").mkdir()
        child = subprocess.Popen(
            [*command, str(count), str(seed), *ways],
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env={**os.environ, **ONE_THREAD},
        )
        assert child.stdout is not None
        for line in child.stdout:
            each = json.loads(line)
            if "how" not in each:
                result["points"] = each["points"]
                continue
            stopped = not each["where"].startswith("end")
            result["disturbed"] += stopped
            where[f"{each['how']} at {each['where']}"] += stopped
            result["finished"] += each["status"] == 0 or "torn" in each
            result["different"] += bool(each.get("different"))
            result["tracebacks"] += "Traceback" in each["said"]
            result["torn"] += each.get("torn", False)
            if each["status"] not in (0, 2, -9, 129, 143):
                result["odd"].append([each["how"], each["where"], each["status"]])
            write_results()
        result["exit"] = child.wait()


def write_results() -> None:
    """Write what is known so far, so that a stopped benchmark still counts."""
    RESULTS["seconds"] = round(time.monotonic() - BEGUN)
    RESULT.write_text(json.dumps(RESULTS, indent=1) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for name, default in (("kills", 200), ("faults", 60), ("points", 40), ("seed", 0)):
        parser.add_argument(f"--{name}", type=int, default=default)
    given = vars(parser.parse_args())
    for part, (what, count, ways) in PARTS.items():
        result = RESULTS.setdefault(part, {})
        if given[count]:
            counted(what, given[count], given["seed"], ways, result)
        write_results()
    print(json.dumps(RESULTS, indent=1))


if __name__ == "__main__":
    main()

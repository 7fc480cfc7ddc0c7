"""Killed, signalled or out of luck at any point, a run ends as an undisturbed one, to the bit.

The long form is ``benchmarks/kills.py``; see ``benchmarks/results/kills.json`` for its counts.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.faults import FAIL, HANG_UP, KILL, TERM

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="forks and kills")
ROOT = Path(__file__).parents[2]


def disturbed(what: str, *arguments: str, threads: int = 1) -> list[dict[str, Any]]:
    """Return what :mod:`tests.faults` prints, run with so many threads."""
    count = {"OMP_NUM_THREADS": str(threads), "NUMBA_NUM_THREADS": str(threads)}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "tests.faults", what, *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        env={**os.environ, "POLARS_MAX_THREADS": "1", **count},
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.slow
@pytest.mark.parametrize("threads", [1, 2])
def test_disturbed_runs_end_with_the_same_bits(threads: int, tmp_path: Path) -> None:
    """What a process did before, such as the first seed of a run, leaves no trace in the second."""
    ways = [KILL, KILL, FAIL, TERM, HANG_UP]
    whole, *victims = disturbed("run", str(tmp_path), "4", "0", *ways, threads=threads)
    assert whole["points"] > 200
    assert len({each["how"] for each in victims if not each["where"].startswith("end")}) > 1
    for each in victims:
        assert "Traceback" not in each["said"], each["said"]
        assert each["status"] in (0, 2, -9, 129, 143), each
        if each["status"] == 0:
            assert each["different"] == []
    assert victims[-1]["status"] == 0


@pytest.mark.slow
def test_disturbed_builds_and_exports_are_whole_or_not_there(tmp_path: Path) -> None:
    victims = disturbed("once", str(tmp_path), "6", "0", KILL, FAIL, TERM)
    assert {each["command"] for each in victims} == {"data", "export"}
    for each in victims:
        assert "Traceback" not in each["said"], each["said"]
        assert each["status"] in (0, 2, -9, 143), each
        assert not each["torn"]
        assert (each["different"], each["left"]) == ([], [])

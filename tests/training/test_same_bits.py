"""The bits of a training do not depend on what ran before it in the process."""

import os
import subprocess
import sys
from pathlib import Path
from shutil import copytree, rmtree

import polars as pl
import pytest

from graphrec_pt import Key
from graphrec_pt.data.synthetic import synthetic_tables
from graphrec_pt.recipe.folder import METRICS

SCRIPT = Path(__file__).with_name("same_bits_script.py")


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Beauty with invented content, large enough that torch uses several threads."""
    folder = tmp_path_factory.mktemp("raw")
    _, tables = synthetic_tables(400, 900, 9000, clusters=4, key=Key(1))
    number = pl.col("user", "item").str.slice(1).cast(pl.Int64) + 1
    rows = tables["interactions"].sort("time").select(number)
    histories = rows.group_by("user", maintain_order=True).agg("item")
    lines = [" ".join(map(str, [user, *items])) for user, items in histories.iter_rows()]
    (folder / "Beauty.txt").write_text("\n".join(lines) + "\n")
    kinds = ", ".join(f'"{item}": [{1 + item % 7}]' for item in range(1, 901))
    (folder / "Beauty_item2attributes.json").write_text("{" + kinds + "}")
    return folder


def _digests(raw: Path, runs: Path, tasks: list[str], **environment: str) -> list[str]:
    """Return the digest of every training of one process."""
    command = [sys.executable, str(SCRIPT), str(raw), str(runs), *tasks]
    unset = ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS")
    inherited = {name: value for name, value in os.environ.items() if name not in unset}
    done = subprocess.run(
        command, capture_output=True, text=True, env=inherited | environment, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return [line.split()[1] for line in done.stdout.splitlines()]


def test_four_trainings_in_one_process_give_one_model(raw: Path, tmp_path: Path) -> None:
    """With default threads: on a machine with several cores, sums of several threads."""
    assert len(set(_digests(raw, tmp_path, ["train:0"] * 4))) == 1


@pytest.mark.slow
@pytest.mark.parametrize("threads", ["1", "2"])
def test_neither_order_nor_evaluation_nor_resume_changes_a_seed(
    threads: str, raw: Path, tmp_path: Path
) -> None:
    tasks = ["train:0", "run:whole:0,1", "train:1", "train:0"]
    first, zero, one, second, again = _digests(raw, tmp_path, tasks, OMP_NUM_THREADS=threads)
    assert first == again
    assert first != second
    # Seed 0 was trained and judged when the run was killed; seed 1 had not begun.
    copytree(tmp_path / "whole", tmp_path / "killed")
    rmtree(tmp_path / "killed" / "seed-1")
    (tmp_path / "killed" / METRICS).unlink()
    tasks = ["resume:killed:0,1", "train:1", "train:0"]
    assert _digests(raw, tmp_path / "after", tasks[1:], OMP_NUM_THREADS=threads) == [second, first]
    assert _digests(raw, tmp_path, tasks[:1], OMP_NUM_THREADS=threads) == [zero, one]

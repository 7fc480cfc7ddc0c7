"""The first command on a machine says that it compiles; later ones are silent."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from graphrec_pt.cli import main

    folder = tmp_path_factory.mktemp("first") / "toy"
    assert main(["data", "build", "toy-shop", "--out", str(folder)]) == 0
    return folder


def drawn(toy: Path, cache: Path) -> subprocess.CompletedProcess[str]:
    command = ["data", "draw", str(toy), "--node", "user:bob", "--sampler", "k_hop", "--out"]
    return subprocess.run(
        [sys.executable, "-m", "graphrec_pt", *command, str(toy.parent / "bob.svg")],
        cwd=toy.parent,
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"NUMBA_CACHE_DIR": str(cache), "PYTHONPATH": str(ROOT)},
    )


def test_compiling_is_told_once(toy: Path, tmp_path: Path) -> None:
    first, second = drawn(toy, tmp_path), drawn(toy, tmp_path)
    assert first.returncode == second.returncode == 0, first.stderr + second.stderr
    assert first.stderr.count("compiling kernels") == 1
    assert second.stderr == ""

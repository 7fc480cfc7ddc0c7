"""Killed at any moment and resumed, a run ends as if it had never been stopped, to the bit."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

SCRIPT = Path(__file__).with_name("run_script.py")


def start(folder: Path, out: Path) -> "subprocess.Popen[str]":
    command = [sys.executable, str(SCRIPT), str(folder), "1", "40", str(out)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


@pytest.mark.slow
def test_a_killed_run_ends_with_the_same_bits(tmp_path: Path) -> None:
    with start(tmp_path / "whole", tmp_path / "expected") as whole:
        # Killed in the middle of a save, of the first one of the second stage, and late.
        for save in ("saving 8", "saving 18", "saving 26"):
            with start(tmp_path / "killed", tmp_path / "never") as run:
                assert run.stdout is not None
                for line in run.stdout:
                    if line.strip() == save:
                        run.kill()
                        break
            assert run.returncode != 0, "the run ended before it was killed"
        with start(tmp_path / "killed", tmp_path / "found") as last:
            last.communicate()
        whole.communicate()
    assert (whole.returncode, last.returncode) == (0, 0)
    expected, found = (load_file(tmp_path / f"{n}.safetensors") for n in ("expected", "found"))
    assert expected.keys() == found.keys()
    different = [name for name in expected if not torch.equal(expected[name], found[name])]
    assert different == []

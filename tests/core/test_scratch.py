"""Scratch folders go when their process does, and not before."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from graphrec_pt.core.scratch import MARK, scratch_folder

CODE = """
import sys
from pathlib import Path
from graphrec_pt.core.scratch import scratch_folder
with scratch_folder(Path(sys.argv[1])) as folder:
    (folder / "big.npy").write_text("half")
    print("made", flush=True)
    sys.stdin.read()
"""


def hidden(folder: Path) -> list[Path]:
    return list(folder.glob(f"{MARK}*"))


def test_a_scratch_folder_is_removed(tmp_path: Path) -> None:
    with scratch_folder(tmp_path / "new") as folder:
        (folder / "file").write_text("x")
        assert hidden(tmp_path / "new") == [folder]
    assert not hidden(tmp_path / "new")


def test_those_of_living_processes_stay_and_those_of_killed_ones_go(tmp_path: Path) -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", CODE, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert child.stdout is not None
    assert child.stdin is not None
    assert child.stdout.readline().strip() == b"made"
    (its,) = hidden(tmp_path)
    with scratch_folder(tmp_path) as mine:
        assert set(hidden(tmp_path)) == {its, mine}
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    child.stdout.close()
    child.stdin.close()
    assert hidden(tmp_path) == [its]
    with scratch_folder(tmp_path) as mine:
        assert hidden(tmp_path) == [mine]

"""Scratch folders go when their process does, and not before."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.core.scratch import (
    MARK,
    finished_file,
    locked,
    remove,
    scratch_folder,
    write_text,
)

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


def test_a_file_is_whole_or_what_it_was(tmp_path: Path) -> None:
    path = tmp_path / "new" / "file.txt"
    write_text(path, "old ü\n")
    assert path.read_bytes() == "old ü\n".encode()

    def failing() -> None:
        with finished_file(path) as made:
            made.write_text("half of")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        failing()
    assert path.read_text() == "old ü\n"
    write_text(path, "new")
    assert [each.name for each in path.parent.iterdir()] == ["file.txt"]
    assert path.read_text() == "new"


def test_removed_is_gone(tmp_path: Path) -> None:
    (tmp_path / "folder" / "inner").mkdir(parents=True)
    write_text(tmp_path / "file", "x")
    for name in ("folder", "file", "nothing"):
        remove(tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_no_rights_are_a_mistake_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(GraphRecError, match="a folder that can be written"):
        write_text(tmp_path / "file" / "inside", "x")


LOCKED = """
import sys
from pathlib import Path
from graphrec_pt.core.scratch import locked
with locked(Path(sys.argv[1]) / ".lock", Path(sys.argv[1])):
    print("locked", flush=True)
    sys.stdin.read()
"""


def test_a_lock_keeps_others_out_until_its_process_ends(tmp_path: Path) -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", LOCKED, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert child.stdout is not None
    assert child.stdin is not None
    assert child.stdout.readline().strip() == b"locked"
    lock = tmp_path / ".lock"
    message = f"expected a folder that no other process writes to, got process {child.pid}"
    with pytest.raises(GraphRecError, match=re.escape(message)), locked(lock, tmp_path):
        pass
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    child.stdout.close()
    child.stdin.close()
    assert lock.exists()  # it is left, and blocks nobody
    with locked(lock, tmp_path):
        assert lock.read_text() == str(os.getpid())
        with pytest.raises(GraphRecError, match="no other process"), locked(lock, tmp_path):
            pass
    assert not lock.exists()

"""Atomic writes: a file or folder is complete or absent, even if the process is killed.

A file or a folder is made in a scratch folder beside its place, flushed to the disk and renamed
there. A scratch folder is locked while its process lives, so the next writer removes what a killed
one left. Lock files keep two processes out of one folder; the system drops the lock of a process
that ended, however it ended.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import mkdtemp
from typing import TextIO

from graphrec_pt.core.errors import GraphRecError

try:
    from fcntl import LOCK_EX, LOCK_NB, LOCK_UN, flock
except ImportError:  # without fcntl nothing is locked, and nothing is swept
    flock = None  # type: ignore[assignment]

MARK = ".graphrec-"
LOCK = ".lock"
"""Name of the lock file inside a folder that is in use."""


def write_text(path: str | Path, text: str) -> None:
    """Write a UTF-8 file atomically; it replaces the file at `path`."""
    with finished_file(Path(path)) as made:
        made.write_text(text, encoding="utf-8", newline="\n")


@contextmanager
def finished_file(path: Path) -> Iterator[Path]:
    """Yield a path to write to; the file takes the place of `path` only when the block succeeds.

    Args:
        path: Its folder is made if needed.

    Raises:
        GraphRecError: When the folder cannot be written.
    """
    with writing(path.parent), scratch_folder(path.parent) as scratch:
        made = scratch / path.name
        yield made
        _flush(made)
        made.replace(path)
        _flush(path.parent)


@contextmanager
def finished_folder(folder: Path) -> Iterator[Path]:
    """Yield a temporary folder that takes the place of `folder` only when the block succeeds.

    A crash, a full disk or a kill leaves nothing at `folder`, or what was there before.

    Raises:
        GraphRecError: When the folder cannot be written.
    """
    with writing(folder), scratch_folder(folder.parent) as scratch:
        made = scratch / "made"
        made.mkdir()
        yield made
        for part in sorted(made.rglob("*"), reverse=True):
            _flush(part)
        _flush(made)
        old = scratch / "old"
        if folder.exists():
            folder.rename(old)
        try:
            made.rename(folder)
        except OSError:
            if old.exists():
                old.rename(folder)
            raise
        _flush(folder.parent)


def open_log(path: Path) -> TextIO:
    """Open a UTF-8 file to add lines to it; a kill may cut its last line short."""
    with writing(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        return path.open("a", encoding="utf-8")


def remove(path: Path) -> None:
    """Remove a file or a folder, if it exists, atomically."""
    with writing(path.parent):
        if path.is_dir():
            with scratch_folder(path.parent) as scratch:
                path.rename(scratch / path.name)
        else:
            path.unlink(missing_ok=True)


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Turn errors of the disk or of permissions into a GraphRecError."""
    try:
        yield
    except OSError as error:
        # numpy counts what it wrote, without a number or a reason
        short = error.errno is None and "written" in str(error)
        got = "a write cut short, as on a full disk" if short else str(error)
        hint = "freeing space or another --out"
        if isinstance(error, FileNotFoundError):  # no lack of space
            hint = "another --out, and names of node types and relations without slashes"
        raise GraphRecError(str(folder), "a folder that can be written", got, hint) from error


@contextmanager
def locked(path: Path, folder: Path) -> Iterator[None]:
    """Keep other processes out of a folder while the block runs.

    Args:
        path: The lock file; it holds the number of the process and is removed afterwards.
        folder: The folder that it protects, named in the error.

    Raises:
        GraphRecError: While another process holds the lock.
    """
    if flock is None:
        yield
        return
    with writing(folder):
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = _locked_file(path, folder)
        os.truncate(lock, 0)
        os.write(lock, str(os.getpid()).encode())
    try:
        yield
    finally:
        with suppress(OSError):
            path.unlink()
        os.close(lock)


def _locked_file(path: Path, folder: Path) -> int:
    """Return the descriptor of a lock file that this process now holds."""
    while True:
        lock = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            flock(lock, LOCK_EX | LOCK_NB)
        except BlockingIOError:
            holder = os.read(lock, 20).decode(errors="replace")
            os.close(lock)
            expected, got = "a folder that no other process writes to", f"process {holder or '?'}"
            hint = "waiting until it ends, or another --out"
            raise GraphRecError(str(folder), expected, got, hint) from None
        except OSError:
            return lock  # a file system without locks
        with suppress(OSError):
            if os.path.samestat(os.fstat(lock), path.stat()):
                return lock
        os.close(lock)  # its holder removed it just now


@contextmanager
def scratch_folder(parent: Path) -> Iterator[Path]:
    """Yield a new hidden folder in `parent` that is removed afterwards.

    It is locked for as long as this process lives, so the next one removes what a killed one left.
    """
    parent.mkdir(parents=True, exist_ok=True)
    with _locked(parent):  # nobody sweeps between making a folder and locking it
        _sweep(parent)
        folder = Path(mkdtemp(prefix=MARK, dir=parent))
        lock = os.open(folder, os.O_RDONLY) if flock is not None else None
        _try_lock(lock)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        if lock is not None:
            os.close(lock)


def _sweep(parent: Path) -> None:
    """Remove scratch folders whose process is gone."""
    if flock is None:
        return
    for left in parent.glob(f"{MARK}*"):
        with suppress(OSError):
            lock = os.open(left, os.O_RDONLY)
            try:
                if _try_lock(lock):
                    shutil.rmtree(left, ignore_errors=True)
            finally:
                os.close(lock)


def _try_lock(lock: int | None) -> bool:
    """Lock a folder; False when another process holds it, or where nothing can be locked."""
    if lock is None:
        return False
    try:
        flock(lock, LOCK_EX | LOCK_NB)
    except OSError:
        return False
    return True


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold a folder's lock, where folders can be locked."""
    if flock is None:
        yield
        return
    lock = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):
            flock(lock, LOCK_EX)
        yield
        with suppress(OSError):
            flock(lock, LOCK_UN)
    finally:
        os.close(lock)


def _flush(path: Path) -> None:
    """Flush a file, or the names in a folder, to the disk."""
    if path.is_dir() and os.name == "nt":
        return  # folders cannot be flushed there
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

"""Scratch folders that a killed process cannot leave behind for good."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from os import O_RDONLY, close
from os import open as open_descriptor
from pathlib import Path
from tempfile import mkdtemp

try:
    from fcntl import LOCK_EX, LOCK_NB, LOCK_UN, flock
except ImportError:  # not a Unix: nothing is locked, and nothing is swept
    flock = None  # type: ignore[assignment]

MARK = ".graphrec-"


@contextmanager
def scratch_folder(parent: Path) -> Iterator[Path]:
    """Yield a new hidden folder in `parent` that is removed afterwards.

    It is locked for as long as this process lives, so the next one removes what a killed one left.
    """
    parent.mkdir(parents=True, exist_ok=True)
    with _locked(parent):  # nobody sweeps between making a folder and locking it
        _sweep(parent)
        folder = Path(mkdtemp(prefix=MARK, dir=parent))
        lock = open_descriptor(folder, O_RDONLY) if flock is not None else None
        _try_lock(lock)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        if lock is not None:
            close(lock)


def _sweep(parent: Path) -> None:
    """Remove scratch folders whose process is gone."""
    if flock is None:
        return
    for left in parent.glob(f"{MARK}*"):
        with suppress(OSError):
            lock = open_descriptor(left, O_RDONLY)
            try:
                if _try_lock(lock):
                    shutil.rmtree(left, ignore_errors=True)
            finally:
                close(lock)


def _try_lock(lock: int | None) -> bool:
    """Lock a folder, or say that another process holds it (or that nothing can be locked)."""
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
    lock = open_descriptor(folder, O_RDONLY)
    try:
        with suppress(OSError):
            flock(lock, LOCK_EX)
        yield
        with suppress(OSError):
            flock(lock, LOCK_UN)
    finally:
        close(lock)

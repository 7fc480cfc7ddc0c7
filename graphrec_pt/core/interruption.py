"""Signals that end a process at a point from which its work can be resumed.

A signal raises :class:`Interrupted` at once, or waits while a :func:`deferred` block runs: the
training loop defers it to the end of a step, saves a checkpoint and raises it then.
"""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

NAMES = ("SIGINT", "SIGTERM", "SIGHUP")


class Interrupted(KeyboardInterrupt):
    """A signal asked the process to end.

    Args:
        number: Number of the signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number

    @property
    def status(self) -> int:
        """The exit status that shells expect: 130 after SIGINT, 143 SIGTERM, 129 SIGHUP."""
        return 128 + self.number


class _Signals:
    """The signal that has arrived, and whether it is deferred."""

    def __init__(self) -> None:
        self.caught, self.waiting, self.depth = False, 0, 0

    def receive(self, number: int, frame: FrameType | None) -> None:
        """Raise at once, or at the end of the step; a second signal never waits."""
        again, self.waiting = bool(self.waiting), number
        if again or not self.depth:
            raise Interrupted(number)


_signals = _Signals()


@contextmanager
def interruptible() -> Iterator[None]:
    """Let SIGINT, SIGTERM and SIGHUP raise :class:`Interrupted` inside the block.

    A signal that the process was started to ignore (``nohup``) stays ignored. Only the main thread
    receives signals; elsewhere the block changes nothing.

    Example:
        >>> with interruptible():
        ...     Trainer("runs/mine").fit(model, graph, stage, resume=True)
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {}
    for number in (getattr(signal, name, None) for name in NAMES):
        if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
            before[number] = signal.signal(number, _signals.receive)
    outer, _signals.caught, _signals.waiting = _signals.caught, True, 0
    try:
        yield
    finally:
        _signals.caught, _signals.waiting = outer, 0
        for number, handler in before.items():
            signal.signal(number, handler)


def catches_signals() -> bool:
    """Return whether the caller runs inside :func:`interruptible`."""
    return _signals.caught


def waiting_signal() -> int:
    """Return the number of the signal that waits to be raised, 0 for none."""
    return _signals.waiting


@contextmanager
def deferred(defers: bool = True) -> Iterator[None]:
    """Let a signal wait inside the block; with `defers` false, raise it at once again."""
    before = _signals.depth
    if before and not defers and _signals.waiting:
        raise Interrupted(_signals.waiting)
    _signals.depth = before + 1 if defers else 0
    try:
        yield
    finally:
        _signals.depth = before

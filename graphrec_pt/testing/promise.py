"""The error of a component that does not keep what its family promises."""

from collections.abc import Iterator
from contextlib import contextmanager

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.core.registry import name_of


class BrokenPromise(AssertionError):
    """A component does not keep a promise of its family; the message says which."""


def promise(holds: bool, member: object, sentence: str, found: object = "") -> None:
    """Raise unless a promise holds.

    Args:
        holds: Whether it does.
        member: The component.
        sentence: The promise.
        found: What was found in its place.

    Raises:
        BrokenPromise: When it does not hold.
    """
    if not holds:
        after = f" (found: {found})" if str(found) else ""
        raise BrokenPromise(f"{name_of(member)!r} breaks a promise: {sentence}{after}")


@contextmanager
def refuses(member: object, sentence: str) -> Iterator[None]:
    """Expect a GraphRecError inside the block.

    Args:
        member: The component.
        sentence: What must be refused.

    Raises:
        BrokenPromise: When nothing, or another error, is raised.
    """
    try:
        yield
    except GraphRecError:
        return
    except Exception as error:
        found = type(error).__name__
        raise BrokenPromise(
            f"{name_of(member)!r} breaks a promise: {sentence} ({found})"
        ) from error
    raise BrokenPromise(f"{name_of(member)!r} breaks a promise: {sentence} (nothing was raised)")

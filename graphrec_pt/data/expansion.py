"""Limits of decompression, so that a small crafted archive cannot fill memory or disk."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from io import BufferedIOBase
from typing import BinaryIO

from graphrec_pt.core.errors import GraphRecError

RATIO = 200
"""Largest ratio of decompressed to compressed size; text of data sets grows 3 to 30 times."""
FREE = 256 << 20
"""Decompressed bytes that are always allowed, for any compressed size."""

_ratio: ContextVar[int] = ContextVar("expansion", default=RATIO)


@contextmanager
def expanding(ratio: int) -> Iterator[None]:
    """Allow compressed files to grow to `ratio` times their size inside the block.

    Args:
        ratio: Instead of :data:`RATIO`.
    """
    before = _ratio.set(ratio)
    try:
        yield
    finally:
        _ratio.reset(before)


class Expanded(BufferedIOBase):
    """A decompressed stream that ends with an error when it has grown too large.

    Args:
        stream: Decompressed bytes.
        packed: Bytes of the compressed file.
        who: Name of the file in errors.
    """

    def __init__(self, stream: BinaryIO, packed: int, who: str) -> None:
        self._stream, self._who = stream, who
        self._most = max(FREE, _ratio.get() * packed)
        self._left = self._most

    def readable(self) -> bool:
        """Say that it can be read."""
        return True

    def read(self, size: int | None = -1, /) -> bytes:
        """Return the next bytes.

        Raises:
            GraphRecError: When there are more than the file may have.
        """
        wanted = self._left + 1 if size is None or size < 0 else min(size, self._left + 1)
        return self._counted(self._stream.read(wanted))

    def read1(self, size: int = -1, /) -> bytes:
        """Return some of the next bytes; see :meth:`read`."""
        return self.read(1 << 16 if size < 0 else size)

    def readline(self, size: int | None = -1, /) -> bytes:
        """Return the next line; see :meth:`read`."""
        wanted = self._left + 1 if size is None or size < 0 else min(size, self._left + 1)
        return self._counted(self._stream.readline(wanted))

    def _counted(self, content: bytes) -> bytes:
        self._left -= len(content)
        if self._left < 0:
            expected = f"at most {self._most >> 20:,} MiB when decompressed"
            hint = "decompressing it yourself, or expanding(ratio) if you know what it is"
            raise GraphRecError(self._who, expected, "more", hint)
        return content

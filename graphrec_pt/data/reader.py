"""Readers: formats that a table plan cannot express, one small module each."""

from collections.abc import Sequence
from typing import Annotated, Protocol

import polars as pl

from graphrec_pt.core.registry import Registry
from graphrec_pt.data.raw import RawFile


class Reader(Protocol):
    """Turns raw files into tables."""

    def read(self, files: Sequence[RawFile]) -> dict[str, pl.DataFrame]:
        """Return the named tables that the files hold.

        Raises:
            GraphRecError: With file and line number, when a file is not in the format.
        """
        ...


reader: Registry[Reader] = Registry("reader")
"""``@reader("name")`` makes a class usable as ``reader: name`` in a card's table."""

ReaderField = Annotated[Reader, reader]
"""Type of a config field that holds a reader."""

"""Id sequences: one line per user, the user first, then the items in time order."""

from collections.abc import Sequence

import polars as pl

from graphrec_pt.data.raw import RawFile
from graphrec_pt.data.reader import read_lines, reader, require_fields


@reader("sequences")
class Sequences:
    """Part ``sequences``: ``user``, ``item``, ``position`` (from 0), a row per interaction.

    Args:
        separator: What stands between the ids.
    """

    separator: str = " "

    def read(self, files: Sequence[RawFile]) -> dict[str, pl.DataFrame]:
        """Return the table ``sequences``."""
        return {"sequences": pl.concat(self._read_one(file) for file in files)}

    def _read_one(self, file: RawFile) -> pl.DataFrame:
        lines = read_lines(file)
        ids = pl.col("text").str.strip_chars().str.split(self.separator)
        lines = lines.with_columns(user=ids.list.first(), item=ids.list.slice(1))
        expected = f"a user and items separated by {self.separator!r}"
        require_fields(file, lines, pl.col("item").list.len() > 0, expected)
        positions = pl.int_ranges(0, pl.col("item").list.len())
        rows = lines.select("user", "item", position=positions).explode("item", "position")
        return rows.filter(pl.col("item") != "")

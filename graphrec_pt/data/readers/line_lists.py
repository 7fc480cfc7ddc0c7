"""Files with one list of ids a line, of the line's number or of the user at its beginning."""

from collections.abc import Sequence

import polars as pl

from graphrec_pt.data.raw import RawFile
from graphrec_pt.data.reader import read_lines, reader, require_fields


@reader("line_lists")
class LineLists:
    """The layout of PGPR's knowledge graphs (arXiv 1906.05237).

    Part ``lists`` has ``number``, ``target`` and ``position``, a row per listed target; part
    ``names`` has ``number`` and ``name``, the whole line. Empty lines list nothing.

    Args:
        first: Number of the first line.
        separator: What stands between targets.
    """

    first: int = 0
    separator: str = " "

    def read(self, files: Sequence[RawFile]) -> dict[str, pl.DataFrame]:
        """Return the tables ``lists`` and ``names``."""
        lines = pl.concat(read_lines(file, keep_blank=True) for file in files)
        lines = lines.with_columns(number=(pl.col("line") - 1 + self.first).cast(pl.String))
        targets = pl.col("text").str.strip_chars().str.split(self.separator)
        lists = lines.select("number", target=targets)
        lists = lists.with_columns(position=pl.int_ranges(0, pl.col("target").list.len()))
        lists = lists.explode("target", "position").filter(pl.col("target") != "")
        return {"lists": lists, "names": lines.select("number", name="text")}


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

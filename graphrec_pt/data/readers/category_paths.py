"""Category paths such as ``Shoes > Women > Boots`` as a tree of categories."""

import csv
from collections.abc import Iterator, Sequence
from typing import Any

import polars as pl

from graphrec_pt.core.errors import GraphRecError, did_you_mean
from graphrec_pt.data.raw import RawFile
from graphrec_pt.data.reader import empty, read_json, read_json_lines, reader


@reader("category_paths")
class CategoryPaths:
    """A column of paths → part ``tree``: ``category`` and ``parent``, both as paths from the top.

    ``A > B > C`` gives the rows (``A > B > C``, ``A > B``) and (``A > B``, ``A``). A category is
    named by its whole path, because ``Sale > Shoes`` and ``Women > Shoes`` differ.

    Args:
        column: The column that holds the paths.
        between: What stands between two levels, with its spaces.
        separator: Between the fields of a text file.
        encoding: Of a text file.
    """

    column: str
    between: str = " > "
    separator: str = ","
    encoding: str = "utf-8"

    def read(self, files: Sequence[RawFile]) -> dict[str, pl.DataFrame]:
        """Return the table ``tree``.

        Raises:
            GraphRecError: When a file has no such column.
        """
        parents: dict[str, str] = {}
        for file in files:
            for path in self._paths(file):
                levels = path.split(self.between)
                for depth in range(len(levels) - 1, 0, -1):
                    child = self.between.join(levels[: depth + 1])
                    parents[child] = self.between.join(levels[:depth])
        rows = {"category": list(parents), "parent": list(parents.values())}
        return {"tree": pl.DataFrame(rows, schema={"category": pl.String, "parent": pl.String})}

    def _paths(self, file: RawFile) -> Iterator[str]:
        for row in self._rows(file):
            if self.column not in row:
                got = "columns " + ", ".join(str(name) for name in list(row)[:12])
                hint = did_you_mean(self.column, [str(name) for name in row])
                raise GraphRecError(file.name, f"a column {self.column!r}", got, hint)
            value = row[self.column]
            if value is not None and str(value).strip():
                yield str(value).strip()

    def _rows(self, file: RawFile) -> Iterator[dict[Any, Any]]:
        name = file.name.lower()
        if name.endswith(".parquet"):
            yield from pl.read_parquet(file.path, columns=[self.column]).iter_rows(named=True)
        elif name.endswith((".jsonl", ".ndjson")):
            yield from (row for _, row in read_json_lines(file))
        elif name.endswith(".json"):
            yield from (row for row in read_json(file) if isinstance(row, dict))
        else:
            texts = (text for _, text in file.texts(self.encoding))
            rows = csv.DictReader(texts, delimiter=self.separator)
            if rows.fieldnames is None:
                raise empty(file)
            yield from rows

"""Rows of one raw file in any supported format: CSV, JSON lines, JSON, Parquet or Arrow."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import polars as pl

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.data.card import ColumnType, TablePlan
from graphrec_pt.data.delimited import LINE, Delimited
from graphrec_pt.data.problems import Problems
from graphrec_pt.data.raw import RawFile
from graphrec_pt.data.reader import empty, read_json, read_json_lines
from graphrec_pt.graph.stored_tables import PANIC, check_arrow

TYPES: dict[ColumnType, type[pl.DataType]] = {
    "int": pl.Int64,
    "float": pl.Float64,
    "text": pl.String,
}
Dtypes = Mapping[str, type[pl.DataType]]


class Source(Protocol):
    """The rows of one raw file."""

    file: RawFile
    place: str
    """Text between the file's name and the number of a row in errors."""

    def scan(self, dtypes: Dtypes, *, numbered: bool) -> pl.LazyFrame:
        """Return the rows, text columns of CSV parsed as `dtypes` says.

        Args:
            dtypes: Column → type.
            numbered: Add ``__line``, the number of the line or row.
        """
        ...

    def recover(self) -> bool:
        """Switch to a slower way of reading; return whether there is one left.

        Raises:
            GraphRecError: At the row that cannot be read in any way.
        """
        ...

    def explain(self, error: Exception) -> None:
        """Raise an error that names the row that caused a failure, if it can be found."""
        ...


def open_source(file: RawFile, plan: TablePlan, scratch: Path, problems: Problems) -> Source:
    """Return the rows of a file; its name decides the format.

    Args:
        file: The file.
        plan: How it is read.
        scratch: Folder for decompressed copies.
        problems: Where changed rows are reported.

    Raises:
        GraphRecError: When the file is empty, damaged, or does not fit the plan.
    """
    kind = file.name.lower()
    if kind.endswith((".parquet", ".parquet.brotli", ".pq")):
        return _Columnar(file, scratch, pl.scan_parquet)
    if kind.endswith((".arrow", ".feather", ".ipc")):
        return _Columnar(file, scratch, pl.scan_ipc)
    if kind.endswith((".jsonl", ".ndjson", ".json")):
        return _Json(file, plan, scratch)
    return Delimited(file, plan, scratch, problems)


class _Columnar:
    """A Parquet or Arrow file."""

    place = " row "

    def __init__(self, file: RawFile, scratch: Path, scanner: Callable[..., pl.LazyFrame]) -> None:
        self.file, self.path, self.scanner = file, file.local(scratch), scanner
        kind = "a Parquet file" if scanner is pl.scan_parquet else "an Arrow file"
        try:
            if scanner is pl.scan_ipc:
                check_arrow(self.path)
            scanner(self.path).collect_schema()
        except (OSError, ValueError, pl.exceptions.PolarsError, PANIC) as error:
            got = (str(error).splitlines() or ["damaged"])[0]
            raise GraphRecError(file.name, kind, got, "downloading it again") from error

    def scan(self, dtypes: Dtypes, *, numbered: bool) -> pl.LazyFrame:
        index = LINE if numbered else None
        return self.scanner(self.path, row_index_name=index, row_index_offset=1)

    def recover(self) -> bool:
        return False

    def explain(self, error: Exception) -> None:
        pass


class _Json:
    """A file with one JSON object a line, or one list of objects.

    Polars reads the file. If polars fails (a column changes its type late, NaN), Python reads it,
    and a column of several types becomes text.
    """

    def __init__(self, file: RawFile, plan: TablePlan, scratch: Path) -> None:
        self.file, self.encoding = file, plan.encoding
        self.path = file.utf8(scratch, plan.encoding, unmarked=True)
        with self.path.open("rb") as stream:
            start = stream.read(1 << 16).lstrip()
        if not start:
            raise empty(file)
        self.listed = start.startswith(b"[")
        self.place = " row " if self.listed else ":"
        self.rows: pl.DataFrame | None = None

        self.lines: pl.LazyFrame | None = None

    def scan(self, dtypes: Dtypes, *, numbered: bool) -> pl.LazyFrame:
        try:
            if self.rows is None and self.listed:
                rows = pl.read_json(self.path, infer_schema_length=None)
                self.rows = rows.with_row_index(LINE, 1).with_columns(pl.col(LINE).cast(pl.Int64))
            elif self.rows is None and self.lines is None:
                self.lines = pl.scan_ndjson(self.path, infer_schema_length=None)
                self.lines.collect_schema()
        except pl.exceptions.PolarsError:
            self.rows = self._in_python()
        if self.rows is not None:
            return (self.rows if numbered else self.rows.drop(LINE)).lazy()
        assert self.lines is not None
        if not numbered:
            return self.lines
        numbers = [number for number, line in self.file.lines(self.encoding) if line.strip()]
        line = pl.LazyFrame({LINE: numbers}, {LINE: pl.Int64})
        return pl.concat([self.lines, line], how="horizontal")

    def recover(self) -> bool:
        if self.rows is not None:
            return False
        self.rows = self._in_python()
        return True

    def explain(self, error: Exception) -> None:
        pass

    def _in_python(self) -> pl.DataFrame:
        rows: Sequence[tuple[int, Any]]
        if self.listed:
            rows = list(enumerate(read_json(self.file, self.encoding), 1))
            for number, row in rows:
                if not isinstance(row, dict):
                    who = f"{self.file.name} row {number}"
                    raise GraphRecError(who, "a JSON object", f"a {type(row).__name__}")
        else:
            rows = list(read_json_lines(self.file, self.encoding))
        names = dict.fromkeys(name for _, row in rows for name in row)
        columns = [_column(name, [row.get(name) for _, row in rows]) for name in names]
        lines = pl.Series(LINE, [number for number, _ in rows], dtype=pl.Int64)
        return pl.DataFrame([*columns, lines])


def _column(name: str, values: Sequence[Any]) -> pl.Series:
    """Return JSON values as a column of one type, text where they have several."""
    kinds = {type(value) for value in values if value is not None}
    if kinds <= {int, float} or len(kinds) == 1:
        try:
            return pl.Series(name, values, strict=kinds != {int, float})
        except (TypeError, OverflowError, pl.exceptions.PolarsError):
            pass  # lists of several kinds, say, or whole numbers beyond 128 bits
    texts = [
        value if value is None or isinstance(value, str) else json.dumps(value) for value in values
    ]
    return pl.Series(name, texts, dtype=pl.String)


def parsed(column: str, type_: ColumnType, dtype: pl.DataType) -> pl.Expr:
    """Return a column with the type that `types` in a card gives, null for values of other types.

    A float that is a whole number, as pandas writes ids beside gaps, counts as a whole number.

    Args:
        column: Its name.
        type_: The type that the card gives.
        dtype: The type that it has.
    """
    values = pl.col(column)
    if dtype == pl.String:
        values = values.str.strip_chars()
    if type_ != "int" or dtype.is_integer() or dtype == pl.Boolean:
        return values.cast(TYPES[type_], strict=False)
    number = values.cast(pl.Float64, strict=False)
    exact = (number == number.round()) & (number.abs() < 2.0**53)
    whole = pl.when(exact).then(number).cast(pl.Int64, strict=False)
    if dtype == pl.String:
        return pl.coalesce(values.cast(pl.Int64, strict=False), whole)
    return whole

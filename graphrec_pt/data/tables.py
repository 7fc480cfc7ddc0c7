"""Tables: a table plan and a raw folder in, a lazy frame out, with line numbers on demand."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl
from pyarrow.lib import ArrowException

from graphrec_pt.core.errors import GraphRecError, did_you_mean
from graphrec_pt.data.card import ColumnType, TablePlan
from graphrec_pt.data.delimited import LINE, first_misfit, guess_separator, scan_delimited
from graphrec_pt.data.lookup import look_up
from graphrec_pt.data.parse import empty, read_json, read_json_lines
from graphrec_pt.data.problems import SHOWN, Problems
from graphrec_pt.data.raw import RawFile, find_files

TYPES: dict[ColumnType, type[pl.DataType]] = {
    "int": pl.Int64,
    "float": pl.Float64,
    "text": pl.String,
}
FILE = "__file"
PARQUET, ARROW = (".parquet", ".parquet.brotli", ".pq"), (".arrow", ".feather", ".ipc")
BINARY = PARQUET + ARROW
Frames = Mapping[str, pl.DataFrame]


@dataclass
class Table:
    """One table of a card or of the user, ready to be read.

    Args:
        name: What the plan calls it.
        frame: The rows, lazily.
        located: The same rows as text, with ``__file`` and ``__line``, for pointing at bad ones.
        loosen: Reads the rows again without those that do not parse, or raises and names them.
        explain: Turns a failure of polars into an error of ours.
        drop_bad: Whether rows that cannot be used may be dropped.
    """

    name: str
    frame: pl.LazyFrame
    located: Callable[[], pl.LazyFrame] | None = None
    loosen: Callable[["Table"], pl.LazyFrame] | None = None
    explain: Callable[[pl.exceptions.PolarsError], GraphRecError] | None = None
    drop_bad: bool = False
    columns: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        if not self.columns:
            self.columns = self._told(lambda: self.frame.collect_schema().names())

    def collect(self, query: Callable[[pl.LazyFrame], pl.LazyFrame]) -> pl.DataFrame:
        """Run a query over the rows, streaming.

        Raises:
            GraphRecError: When rows do not parse and may not be dropped, or the file is damaged.
        """
        try:
            return query(self.frame).collect(engine="streaming")
        except pl.exceptions.PolarsError as error:
            if self.loosen is None or "could not parse" not in str(error):
                raise self._told_error(error) from error
            self.frame, self.loosen = self.loosen(self), None
            rows: pl.DataFrame = self._told(lambda: query(self.frame).collect(engine="streaming"))
            return rows

    def _told(self, action: Callable[[], Any]) -> Any:
        try:
            return action()
        except (OSError, pl.exceptions.PolarsError) as error:
            raise self._told_error(error) from error

    def _told_error(self, error: Exception) -> GraphRecError:
        if self.explain is not None and isinstance(error, pl.exceptions.PolarsError):
            return self.explain(error)
        return GraphRecError(f"table {self.name!r}", "readable rows", str(error).splitlines()[0])

    def require(self, column: str, who: str) -> None:
        """Refuse a plan that names a column this table lacks."""
        if f"{column}_duplicated_0" in self.columns:
            raise GraphRecError(
                who, f"one column {column!r} in table {self.name!r}", "several of that name"
            )
        if column not in self.columns:
            hint = did_you_mean(column, self.columns)
            if len(self.columns) == 1:
                guess = guess_separator(self.columns[0])
                hint = f"`separator: {guess!r}` in the card" if guess else hint
            got = "columns " + ", ".join(self.columns[:12])
            raise GraphRecError(who, f"a column {column!r} in table {self.name!r}", got, hint)

    def examples(self, bad: pl.Expr, shown: pl.Expr) -> list[str]:
        """Return up to three rows for which `bad` holds, as ``file:line value``."""
        value = shown.cast(pl.String, strict=False).fill_null("nothing").alias("__shown")
        if self.located is None:
            rows = self.frame.with_row_index(LINE, 1).filter(bad).head(SHOWN + 1)
            found = rows.select(pl.lit(f"{self.name} row ").alias(FILE), LINE, value).collect()
            return [f"{f}{line} {v!r}" for f, line, v in found.rows()]
        found = self.located().filter(bad).head(SHOWN + 1).select(FILE, LINE, value).collect()
        return [f"{f}:{line} {v!r}" for f, line, v in found.rows()]


def open_table(
    name: str,
    plan: TablePlan,
    raw: Path,
    scratch: Path,
    problems: Problems,
    cache: dict[Any, Any],
    earlier: Mapping[str, Table] | None = None,
) -> Table | None:
    """Open one table of a card.

    Args:
        name: What the card calls the table.
        plan: How it is read.
        raw: The raw folder.
        scratch: Folder for decompressed copies.
        problems: Where dropped rows are counted.
        cache: Results of readers, shared between the tables of one card.
        earlier: The tables opened before, to look columns up in.

    Returns:
        The table, or None when it is optional and its file is absent.

    Raises:
        GraphRecError: When the file is missing, empty, damaged, or does not fit the plan.
    """

    def shaped(layout: TablePlan, frame: pl.LazyFrame) -> pl.LazyFrame:
        return _shaped(frame, layout, {n: t.frame for n, t in (earlier or {}).items()})

    if plan.rows is not None:
        return Table(name, shaped(plan, pl.LazyFrame(list(plan.rows), infer_schema_length=None)))
    for layout in (plan, *plan.or_else):
        found = [find_files(raw, pattern, problems.copies) for pattern in _patterns(layout)]
        for one in found:
            _one_format(name, one)
        files = [file for one in found for file in one]
        if files:
            return _open_files(
                name, layout, files, scratch, problems, cache, partial(shaped, layout)
            )
    if plan.optional:
        return None
    wanted = " or ".join(" + ".join(_patterns(p)) for p in (plan, *plan.or_else))
    raise GraphRecError(
        f"table {name!r}", f"{wanted} in {raw.name or raw}", "no such file", "another --raw folder"
    )


def frame_table(name: str, frame: Any) -> Table:
    """Wrap a frame of the user: polars, pandas, pyarrow or anything else that speaks Arrow."""
    if isinstance(frame, pl.LazyFrame):
        return Table(name, frame)
    if frame is None or isinstance(frame, str | bytes | Path):
        raise GraphRecError(f"table {name!r}", "a frame", repr(frame), "`polars.scan_csv(PATH)`")
    try:
        made = frame if isinstance(frame, pl.DataFrame) else pl.DataFrame(frame)
    except (TypeError, ValueError, ArrowException, pl.exceptions.PolarsError) as error:
        got = f"{type(frame).__name__} ({str(error).splitlines()[0]})"
        raise GraphRecError(f"table {name!r}", "an Arrow frame", got) from error
    return Table(name, made.lazy())


def _one_format(name: str, files: Sequence[RawFile]) -> None:
    """Refuse copies of one table in several formats, which would count every row twice."""
    endings = {Path(file.name).suffix.lower() for file in files}
    if len(endings) > 1 and len({Path(file.name).stem for file in files}) < len(files):
        names = ", ".join(sorted(file.name for file in files)[:4])
        raise GraphRecError(f"table {name!r}", "files of one format", names, "removing the others")


def _patterns(plan: TablePlan) -> tuple[str, ...]:
    if plan.file is None:
        return ()
    return (plan.file,) if isinstance(plan.file, str) else plan.file


def _open_files(
    name: str,
    plan: TablePlan,
    files: Sequence[RawFile],
    scratch: Path,
    problems: Problems,
    cache: dict[Any, Any],
    shaped: Callable[[pl.LazyFrame], pl.LazyFrame],
) -> Table:
    drop = plan.bad_rows == "drop"
    if plan.reader is not None:
        key = (str(plan.reader), tuple(files))
        if key not in cache:
            cache[key] = plan.reader.read(files)
        parts: Frames = cache[key]
        part = plan.part or name
        if part not in parts:
            raise GraphRecError(
                f"table {name!r}", "a part of the reader", repr(part), did_you_mean(part, parts)
            )
        return Table(name, shaped(parts[part].lazy()), drop_bad=drop)

    def scan(dtypes: dict[str, type[pl.DataType]], *, numbered: bool) -> pl.LazyFrame:
        frames = [_scan(f, plan, scratch, dtypes, numbered=numbered) for f in files]
        if plan.file_as:
            frames = [
                frame.with_columns(pl.lit(f.name.partition(".")[0]).alias(plan.file_as))
                for frame, f in zip(frames, files, strict=True)
            ]
        if numbered:
            frames = [
                frame.with_columns(pl.lit(f.name).alias(FILE))
                for frame, f in zip(frames, files, strict=True)
            ]
        return pl.concat(frames, how="diagonal") if len(frames) > 1 else frames[0]

    def explain(error: pl.exceptions.PolarsError) -> GraphRecError:
        return _explained(files, plan, error)

    before = {new: old for old, new in plan.rename.items()}
    dtypes = {before.get(c, c): TYPES[t] for c, t in plan.types.items() if t != "text"}
    text = Table(name, scan({}, numbered=False), explain=explain)
    dtypes = {column: dtype for column, dtype in dtypes.items() if column in text.columns}
    return Table(
        name,
        shaped(scan(dtypes, numbered=False) if dtypes else text.frame),
        lambda: shaped(scan({}, numbered=True)),
        lambda table: _parsed_rows(table, plan, problems),
        explain,
        drop,
    )


def _parsed_rows(table: Table, plan: TablePlan, problems: Problems) -> pl.LazyFrame:
    """Read as text, point at what does not parse, and leave it out if the card says so."""
    assert table.located is not None
    rows = table.located()
    for column, type_ in plan.types.items():
        if type_ == "text" or column not in table.columns:
            continue
        parsed = pl.col(column).str.strip_chars().cast(TYPES[type_], strict=False)
        bad = pl.col(column).is_not_null() & parsed.is_null()
        count = int(table.located().filter(bad).select(pl.len()).collect().item())
        problems.meet(
            f"table {table.name!r}",
            f"{'a whole number' if type_ == 'int' else 'a number'} in column {column!r}",
            count,
            table.examples(bad, pl.col(column)) if count else [],
            drop=table.drop_bad,
            hint="`bad_rows: drop` in the card to leave them out",
        )
        rows = rows.filter(~bad).with_columns(parsed.alias(column))
    return rows.drop(FILE, LINE)


def _scan(
    file: RawFile,
    plan: TablePlan,
    scratch: Path,
    dtypes: dict[str, type[pl.DataType]],
    *,
    numbered: bool,
) -> pl.LazyFrame:
    kind = file.name.lower()
    index = LINE if numbered else None
    if kind.endswith(PARQUET):
        return pl.scan_parquet(file.local(scratch), row_index_name=index, row_index_offset=1)
    if kind.endswith(ARROW):
        return pl.scan_ipc(file.local(scratch), row_index_name=index, row_index_offset=1)
    if kind.endswith((".jsonl", ".ndjson", ".json")):
        path = file.local(scratch)
        with path.open("rb") as stream:
            start = stream.read(64).lstrip()
        if not start:
            raise empty(file)
        if start.startswith(b"["):
            frame = pl.read_json(path, infer_schema_length=None).lazy()
            return frame.with_row_index(LINE, 1) if numbered else frame
        return pl.scan_ndjson(
            path, infer_schema_length=10_000, row_index_name=index, row_index_offset=1
        )
    return scan_delimited(file, plan, scratch, dtypes, numbered=numbered)


def _shaped(
    frame: pl.LazyFrame, plan: TablePlan, earlier: Mapping[str, pl.LazyFrame]
) -> pl.LazyFrame:
    """Apply a plan's renames, lookups, derived columns and filter."""
    if plan.rename:
        frame = frame.rename(dict(plan.rename), strict=False)
    frame = look_up(frame, plan.lookup, earlier)
    try:
        for column, expression in plan.derive.items():
            frame = frame.with_columns(pl.sql_expr(expression).alias(column))
        if plan.where:
            frame = frame.filter(pl.sql_expr(plan.where))
    except pl.exceptions.PolarsError as error:
        raise GraphRecError("card", "a SQL expression", error, "checking its spelling") from error
    return frame


def _explained(
    files: Sequence[RawFile], plan: TablePlan, error: pl.exceptions.PolarsError
) -> GraphRecError:
    """Tell a failure of polars in our grammar, at the line to blame where one is found."""
    if isinstance(error, pl.exceptions.NoDataError):
        return empty(files[0])
    try:
        for file in files:
            kind = file.name.lower()
            if kind.endswith((".jsonl", ".ndjson")):
                for _ in read_json_lines(file):
                    pass
            elif kind.endswith(".json"):
                read_json(file)
            elif not kind.endswith(BINARY) and (misfit := first_misfit(file, plan)):
                return misfit
    except GraphRecError as located:
        return located
    names = "+".join(f.name for f in files)
    return GraphRecError(names, "a readable file", str(error).splitlines()[0])

"""Tables: open the raw files of a table plan as a lazy frame, with line numbers on demand."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl

from graphrec_pt.core.errors import GraphRecError, did_you_mean
from graphrec_pt.data.card import ColumnType, TablePlan
from graphrec_pt.data.delimited import LINE, Delimited, guess_separator
from graphrec_pt.data.problems import SHOWN, Problems, shown
from graphrec_pt.data.raw import RawFile, find_files
from graphrec_pt.data.shaping import Steps, any_frame, card_rows, plain, shaped
from graphrec_pt.data.sources import TYPES, Dtypes, Source, open_source, parsed
from graphrec_pt.graph.stored_tables import PANIC

FILE = "__file"
GAPS = {"NA", "N/A", "n/a", "NULL", "Null", "null", "None", "none", "nan", "NaN", "-", "?", "\\N"}
Frames = Mapping[str, pl.DataFrame]
Query = Callable[[pl.LazyFrame], pl.LazyFrame]


@dataclass
class Table:
    """One table of a card or of the user, ready to be read.

    Args:
        name: Name of the table in the plan.
        frame: The rows, lazily.
        located: The same rows, untyped where they may not parse, with ``__file`` (``"x.csv:"``)
            and ``__line``, to locate bad rows in errors; by default those of `frame`, numbered.
        reread: Reads the rows another way after a failure of polars, or returns the error to show.
        drop_bad: Whether rows that cannot be used may be dropped.
        in_card: Whether options of a card apply to it.
        steps: Option of the card and rows after it, for each step that made the rows.
        misnamed: Errors of options that name columns which the files lack.
    """

    name: str
    frame: pl.LazyFrame
    located: Callable[[], pl.LazyFrame] | None = None
    reread: Callable[[Exception], pl.LazyFrame | GraphRecError] | None = None
    drop_bad: bool = False
    in_card: bool = True
    steps: Steps = field(default_factory=list)
    misnamed: list[GraphRecError] = field(default_factory=list)
    columns: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.frame = plain(self._retried(lambda frame: frame))
        self.columns = list(self.frame.collect_schema())

    def collect(self, query: Query) -> pl.DataFrame:
        """Run a query over the rows, streaming.

        Raises:
            GraphRecError: When the file is damaged or no reading of it fits the card.
        """
        collected: list[pl.DataFrame] = []

        def run(frame: pl.LazyFrame) -> pl.LazyFrame:
            collected.append(query(plain(frame)).collect(engine="streaming"))
            return frame

        self._retried(run)
        return collected[-1]

    def select(self, *columns: pl.Expr) -> pl.DataFrame:
        """Return some columns of the rows."""
        return self.collect(lambda frame: frame.select(columns))

    def _retried(self, action: Query) -> pl.LazyFrame:
        """Run an action on the rows; after a failure, try every other way to read them."""
        while True:
            try:
                action(self.frame).collect_schema()
                return self.frame
            except (OSError, pl.exceptions.PolarsError, PANIC) as raised:
                error = raised if isinstance(raised, Exception) else OSError(str(raised))
                again = self.reread(error) if self.reread is not None else None
                if isinstance(again, pl.LazyFrame):
                    self.frame = again
                    continue
                got = str(error).splitlines()[0]
                problem = GraphRecError(f"table {self.name!r}", "readable rows", got)
                raise again or problem from error

    def lacks(self, column: str, who: str) -> GraphRecError | None:
        """Return the error for a plan that names a column this table lacks."""
        expected = f"a column {column!r} in table {self.name!r}"
        if f"{column}_duplicated_0" in self.columns:
            return GraphRecError(who, f"one column {column!r} in table {self.name!r}", "several")
        if column in self.columns:
            return None
        names = ", ".join(c if c.strip() == c else repr(c) for c in self.columns[:12])
        got = f"columns {names}" if names else "no columns"
        return GraphRecError(who, expected, got, self._column_hint(column))

    def _column_hint(self, column: str) -> str:
        if not self.in_card:
            return did_you_mean(column, self.columns)
        if len(self.columns) == 1 and (guess := guess_separator(self.columns[0])):
            return f"`separator: {guess!r}` in the card"
        padded = [name for name in self.columns if name.strip() == column]
        if padded and all(name.startswith(" ") for name in self.columns[1:]):
            return "`separator: ', '` in the card, for a space follows every comma"
        if padded:
            return f"`rename: {{{padded[0]!r}: {column}}}` in the card's table"
        return did_you_mean(column, self.columns)

    def type_hint(self, column: str, type_: str) -> str:
        """Return the hint to give a column another type."""
        if self.in_card:
            return f"`types: {{{column}: {type_}}}` in table {self.name!r} of the card"
        if type_ == "int":
            return f"`.astype({{{column!r}: 'Int64'}})` in pandas"
        return f"`.astype({{{column!r}: str}})` in pandas"

    def drop_hint(self, examples: Sequence[str] = ()) -> str:
        """Return the hint to leave unusable rows out, or to declare a text as a missing value."""
        if not self.in_card:
            return "leaving these rows out of the frame"
        texts = {gap for gap in GAPS if any(e.endswith(f" {gap!r}") for e in examples)}
        drop = f"`bad_rows: drop` in table {self.name!r} of the card to leave them out"
        return f"`missing: {sorted(texts)}` there, or {drop}" if texts else drop

    def numbered(self) -> pl.LazyFrame:
        """Return the rows with ``__file`` and ``__line``."""
        if self.located is not None:
            return plain(self.located())
        row = self.frame.with_row_index(LINE, 1)
        return row.with_columns(pl.lit(f"{self.name} row ").alias(FILE))

    def examples(self, query: Query) -> list[str]:
        """Return up to four rows as ``file:line value``.

        Args:
            query: From :meth:`numbered` rows to those to show, with their value as ``__shown``.
        """
        rows = query(self.numbered()).head(SHOWN + 1).select(FILE, LINE, "__shown").collect()
        return [f"{file}{line} {shown(value)}" for file, line, value in rows.rows()]

    def emptied_by(self) -> str | None:
        """Return the step of the card that removed the last row, "" for none of them.

        None for a table that never had a row.
        """
        for place, (step, rows) in enumerate(self.steps):
            if not len(rows.head(1).collect()):
                return step if place else None
        return ""


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
        name: Name of the table in the card.
        plan: Options of the table.
        raw: The raw folder.
        scratch: Folder for decompressed copies.
        problems: Where dropped and changed rows are counted.
        cache: Results of readers, shared between the tables of one card.
        earlier: The tables opened before, to look columns up in.

    Returns:
        The table, or None when it is optional and its file is absent.

    Raises:
        GraphRecError: When the file is missing, empty, damaged, or does not fit the plan.
    """
    tables = earlier or {}
    if plan.rows is not None:
        steps: Steps = []
        frame = shaped(name, card_rows(name, plan.rows).lazy(), plan, tables, steps, problems.note)
        return Table(name, frame, steps=steps)
    for layout in (plan, *plan.or_else):
        matches = [find_files(raw, pattern, problems.copies) for pattern in _patterns(layout)]
        for files_of_pattern in matches:
            _one_format(name, files_of_pattern)
        files = [file for files_of_pattern in matches for file in files_of_pattern]
        if files and layout.reader is not None:
            return _open_reader(name, layout, files, problems, cache, tables)
        if files:
            return _open_files(name, layout, files, scratch, problems, tables)
    if plan.optional:
        return None
    wanted = " or ".join(" + ".join(_patterns(p)) for p in (plan, *plan.or_else))
    where = f"{wanted} in {raw.name or raw}"
    here = sorted(path.name for path in raw.iterdir())[:6] if raw.is_dir() else []
    got = f"no such file among {', '.join(here)}" if here else "no such file"
    raise GraphRecError(f"table {name!r}", where, got, "another --raw folder")


def frame_table(name: str, frame: Any) -> Table:
    """Wrap a frame of the user: polars, pandas, pyarrow or anything else that speaks Arrow."""
    if frame is None or isinstance(frame, str | bytes | Path):
        raise GraphRecError(f"table {name!r}", "a frame", repr(frame), "`polars.scan_csv(PATH)`")
    lazy = frame if isinstance(frame, pl.LazyFrame) else any_frame(name, frame).lazy()
    return Table(name, lazy, in_card=False, steps=[("the frame", lazy)])


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


def _open_reader(
    name: str,
    plan: TablePlan,
    files: Sequence[RawFile],
    problems: Problems,
    cache: dict[Any, Any],
    earlier: Mapping[str, "Table"],
) -> Table:
    key = (str(plan.reader), tuple(files))
    if key not in cache:
        assert plan.reader is not None
        cache[key] = plan.reader.read(files)
    parts: Frames = cache[key]
    part = plan.part or name
    if part not in parts:
        raise GraphRecError(
            f"table {name!r}", "a part of the reader", repr(part), did_you_mean(part, parts)
        )
    steps: Steps = []
    rows = _without(parts[part].lazy(), plan.missing)
    frame = shaped(name, rows, plan, earlier, steps, problems.note)
    return Table(name, frame, drop_bad=plan.bad_rows == "drop", steps=steps)


def _open_files(
    name: str,
    plan: TablePlan,
    files: Sequence[RawFile],
    scratch: Path,
    problems: Problems,
    earlier: Mapping[str, "Table"],
) -> Table:
    sources = [open_source(file, plan, scratch, problems) for file in files]
    rows, steps = _Files(name, plan, sources, problems), Steps()
    frame = shaped(name, rows.typed(), plan, earlier, steps, problems.note)
    rows.shape = lambda frame: shaped(name, frame, plan, earlier)
    drop = plan.bad_rows == "drop"
    table = Table(name, frame, rows.located, rows.reread, drop, steps=steps)
    table.misnamed = rows.misnamed(rows.columns)
    return table


class _Files:
    """The files of one table, read with polars, or by slower ways if that fails."""

    def __init__(
        self, name: str, plan: TablePlan, sources: Sequence[Source], problems: Problems
    ) -> None:
        self.name, self.plan, self.sources, self.problems = name, plan, sources, problems
        self.shape: Query = lambda frame: frame
        self.columns: list[str] = []
        self.fast = all(isinstance(source, Delimited) for source in sources)
        before = {new: old for old, new in plan.rename.items()}
        self.types = {before.get(c, c): t for c, t in plan.types.items()}

    def scan(self, dtypes: Dtypes | None = None, *, numbered: bool = False) -> pl.LazyFrame:
        frames = []
        for source in self.sources:
            frame = source.scan(dtypes or {}, numbered=numbered)
            if self.plan.file_as:
                stem = source.file.name.partition(".")[0]
                frame = frame.with_columns(pl.lit(stem).alias(self.plan.file_as))
            if numbered:
                where = source.file.name + source.place
                frame = frame.with_columns(pl.lit(where).alias(FILE))
            frames.append(frame)
        whole = pl.concat(frames, how="diagonal_relaxed") if len(frames) > 1 else frames[0]
        return whole if self.fast else _without(plain(whole), self.plan.missing)

    def typed(self) -> pl.LazyFrame:
        """Return the rows with the columns of `types` cast; drop and report rows that fail."""
        text = Table(self.name, self.scan(), reread=self.untyped_again)
        schema = text.frame.collect_schema()
        self.columns = text.columns
        types = {column: type_ for column, type_ in self.types.items() if column in schema}
        if self.fast:
            dtypes = {column: TYPES[type_] for column, type_ in types.items() if type_ != "text"}
            return self.scan(dtypes) if dtypes else text.frame
        if types:
            counts = text.collect(partial(_count_unparsed, types=types)).row(0)
            for (column, type_), count in zip(types.items(), counts, strict=True):
                if count:
                    self._meet(column, type_, count)
        return self._cast(text.frame, text.frame.collect_schema())

    def located(self) -> pl.LazyFrame:
        """Return the rows that :meth:`typed` keeps, with their places."""
        frame = _without(plain(self.scan(numbered=True)), self.plan.missing)
        return self.shape(self._cast(frame, frame.collect_schema()))

    def reread(self, error: Exception) -> pl.LazyFrame | GraphRecError:
        """Return the rows read another way after a failure, or the error to show."""
        if self.fast and "could not parse" in str(error):
            self.fast = False
            return self.shape(self.typed())
        again = self.untyped_again(error)
        return again if isinstance(again, GraphRecError) else self.shape(self.typed())

    def untyped_again(self, error: Exception) -> pl.LazyFrame | GraphRecError:
        """Return the raw rows, without types and column operations, read another way."""
        try:
            if [source for source in self.sources if source.recover()]:
                return self.scan()
            for source in self.sources:
                source.explain(error)
        except GraphRecError as located:
            return located
        got, hint = str(error).splitlines()[0], ""
        if "conversion from" in got:
            hint = "`TRY_CAST(… AS …)`, which leaves such values empty"
        names = "+".join(source.file.name for source in self.sources)
        return GraphRecError(names, "a readable file", got, hint)

    def _cast(self, frame: pl.LazyFrame, schema: Mapping[str, pl.DataType]) -> pl.LazyFrame:
        types = {column: type_ for column, type_ in self.types.items() if column in schema}
        for column, type_ in types.items():
            frame = frame.filter(~_unparsed(column, type_, schema[column]))
        return frame.with_columns(parsed(c, t, schema[c]).alias(c) for c, t in types.items())

    def _meet(self, column: str, type_: ColumnType, count: int) -> None:
        rows = _without(plain(self.scan(numbered=True)), self.plan.missing)
        bad = _unparsed(column, type_, rows.collect_schema()[column])
        drop = self.plan.bad_rows == "drop"
        table = Table(self.name, rows, lambda: rows, drop_bad=drop)
        shown_ = pl.col(column).alias("__shown")
        examples = table.examples(lambda frame: frame.filter(bad).with_columns(shown_))
        what = {"int": "a whole number", "float": "a number", "text": "text"}[type_]
        self.problems.meet(
            f"table {self.name!r}",
            f"{what} in column {self.plan.rename.get(column, column)!r}",
            count,
            examples,
            drop=drop,
            hint=table.drop_hint(examples),
        )

    def misnamed(self, columns: Sequence[str]) -> list[GraphRecError]:
        """Return the columns that `types` names and no file has."""
        after = [self.plan.rename.get(column, column) for column in columns]
        who = f"tables.{self.name}.types"
        return [
            GraphRecError(who, "columns of the file", repr(column), did_you_mean(column, after))
            for column in self.plan.types
            if column not in after
        ]


def _unparsed(column: str, type_: ColumnType, dtype: pl.DataType) -> pl.Expr:
    return pl.col(column).is_not_null() & parsed(column, type_, dtype).is_null()


def _count_unparsed(frame: pl.LazyFrame, types: Mapping[str, ColumnType]) -> pl.LazyFrame:
    schema = frame.collect_schema()  # of this reading; another one may find other types
    return frame.select(_unparsed(c, t, schema[c]).sum().alias(c) for c, t in types.items())


def _without(frame: pl.LazyFrame, missing: Sequence[str]) -> pl.LazyFrame:
    """Return the rows with nothing in place of texts that mean "no value"."""
    if not missing:
        return frame
    text = pl.col(pl.String)
    return frame.with_columns(pl.when(~text.is_in(list(missing))).then(text))

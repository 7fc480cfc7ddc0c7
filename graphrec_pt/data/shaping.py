"""Frames of any kind as Polars frames, and column operations of a card on them."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import polars as pl
from pyarrow.lib import ArrowException

from graphrec_pt.core.errors import GraphRecError, did_you_mean, raise_all
from graphrec_pt.data.card import Lookup, TablePlan
from graphrec_pt.data.ids import alike_hint, same_but
from graphrec_pt.data.problems import shown
from graphrec_pt.data.sittings import with_sittings


def card_rows(name: str, rows: Sequence[Mapping[str, Any]]) -> pl.DataFrame:
    """Return the rows that a card itself holds as a frame.

    Raises:
        GraphRecError: For columns whose values are of several types.
    """
    try:
        return pl.DataFrame(list(rows), infer_schema_length=None)
    except (TypeError, ValueError, OverflowError, pl.exceptions.PolarsError):
        columns = dict.fromkeys(column for row in rows for column in row)
        return any_frame(name, {column: [row.get(column) for row in rows] for column in columns})


def any_frame(name: str, frame: Any) -> pl.DataFrame:
    """Return a frame of the user as a Polars frame; ids beyond 128 bits become text.

    Raises:
        GraphRecError: For an object that is no frame, and for columns with values of several types.
    """
    if isinstance(frame, pl.DataFrame):
        return frame
    try:
        return pl.DataFrame(frame)
    except (TypeError, ValueError, OverflowError, ArrowException, pl.exceptions.PolarsError) as e:
        error = e
    who = f"table {name!r}"
    got = f"{type(frame).__name__} ({str(error).splitlines()[0][:100]})"
    problem = GraphRecError(who, "an Arrow frame", got)
    try:
        columns = {str(column): list(frame[column]) for column in frame}
    except (TypeError, ValueError, KeyError):
        raise problem from error
    made, errors = [], []
    for column, values in columns.items():
        try:
            made.append(_cells(who, column, values))
        except GraphRecError as wrong:
            errors.append(wrong)
    raise_all(errors)
    try:
        return pl.DataFrame(made)
    except pl.exceptions.PolarsError:
        raise problem from error


def _cells(who: str, column: str, values: list[Any]) -> pl.Series:
    """Return a column that polars cannot convert directly: ids beyond 64 bits become text."""
    values = [None if value is None or value != value else value for value in values]
    kinds = {type(value) for value in values if value is not None}
    if kinds == {int}:
        return pl.Series(column, [None if v is None else str(v) for v in values], dtype=pl.String)
    try:
        return pl.Series(column, values, strict=not kinds <= {int, float})
    except (TypeError, ValueError, OverflowError, pl.exceptions.PolarsError) as error:
        odd = sorted(kind.__name__ for kind in kinds)
        got = " and ".join(odd) if len(odd) > 1 else str(error).splitlines()[0][:100]
        expected = f"values of one type in column {column!r}"
        raise GraphRecError(who, expected, got, f"`.astype({{{column!r}: str}})`") from error


def plain(frame: pl.LazyFrame) -> pl.LazyFrame:
    """Return the rows with category columns converted to text."""
    casts: list[pl.Expr] = []
    for column, dtype in frame.collect_schema().items():
        listed = isinstance(dtype, pl.List)
        if isinstance(
            dtype.inner if isinstance(dtype, pl.List) else dtype, pl.Categorical | pl.Enum
        ):
            text = pl.List(pl.String()) if listed else pl.String()
            casts.append(pl.col(column).cast(text))
    return frame.with_columns(casts) if casts else frame


Steps = list[tuple[str, pl.LazyFrame]]
Tell = Callable[[str], None]
KEY, VALUE = "__key", "__found"


class Rows(Protocol):
    """A table that columns are looked up in."""

    columns: list[str]

    def select(self, *columns: pl.Expr) -> pl.DataFrame:
        """Return some columns of its rows."""
        ...


def shaped(
    name: str,
    frame: pl.LazyFrame,
    plan: TablePlan,
    earlier: Mapping[str, Rows],
    steps: Steps | None = None,
    tell: Tell | None = None,
) -> pl.LazyFrame:
    """Apply a plan's renames, lookups, derived columns, sittings and filter.

    Args:
        name: Name of the table in the card.
        frame: Rows of the table.
        plan: Options of the table.
        earlier: The tables opened so far.
        steps: Receives the rows after each step, with the option of the step.
        tell: Called with a sentence about each lookup without any match.

    Raises:
        GraphRecError: For columns that are not there and SQL that is wrong.
    """
    steps_ = [] if steps is None else steps
    steps_.append((f"tables.{name}", frame))
    if plan.rename:
        frame = frame.rename(dict(plan.rename), strict=False)
    frame = look_up(f"tables.{name}", frame, plan.lookup, earlier, tell)
    for column, expression in plan.derive.items():
        who = f"tables.{name}.derive.{column}"
        frame = _sql(who, expression, frame, column)
    if plan.sittings is not None:
        frame = with_sittings(f"tables.{name}.sittings", frame, plan.sittings)
    if plan.where:
        who = f"tables.{name}.where"
        frame = _sql(who, plan.where, frame)
        steps_.append((f"`where: {plan.where}` in {who}", frame))
    return frame


def look_up(
    who: str,
    frame: pl.LazyFrame,
    lookups: Mapping[str, Lookup],
    earlier: Mapping[str, Rows],
    tell: Tell | None = None,
) -> pl.LazyFrame:
    """Add columns found in other tables; the first of several rows with one key counts.

    Args:
        who: The table, for errors.
        frame: The rows to add columns to.
        lookups: New column → table and column to take it from.
        earlier: The tables opened so far.
        tell: Called with a sentence about each lookup without any match.

    Raises:
        GraphRecError: When a column that a lookup names is not there.
    """
    for new, plan in lookups.items():
        at = f"{who}.lookup.{new}"
        other = earlier.get(plan.table)
        if other is None:  # optional, and absent
            frame = frame.with_columns(pl.lit(None, pl.String).alias(new))
            continue
        key, value = plan.key or plan.column, plan.value or new
        _require(at, plan.column, frame.collect_schema().names())
        for column in (key, value):
            _require(f"{at} in table {plan.table!r}", column, other.columns)
        keys, values = pl.col(key).cast(pl.String).alias(KEY), pl.col(value).alias(VALUE)
        values_by_key = other.select(keys, values).unique(KEY, keep="first", maintain_order=True)
        keyed = frame.with_columns(pl.col(plan.column).cast(pl.String).alias(KEY))
        if tell is not None:
            _tell_no_match(at, plan, key, keyed.select(KEY), values_by_key, tell)
        joined = keyed.join(values_by_key.lazy(), on=KEY, how="left", maintain_order="left")
        frame = joined.with_columns(pl.col(VALUE).alias(new)).drop(KEY, VALUE)
    return frame


def _tell_no_match(
    who: str, plan: Lookup, key: str, wanted: pl.LazyFrame, present: pl.DataFrame, tell: Tell
) -> None:
    wanted, present = wanted.drop_nulls(), present.drop_nulls(KEY)
    if not len(present):
        return
    try:
        if len(wanted.join(present.lazy(), on=KEY, how="semi").head(1).collect(engine="streaming")):
            return
        first = wanted.head(1).collect()[KEY].to_list()
    except pl.exceptions.PolarsError:
        return  # rows that do not parse are reported when they are read
    if not first:
        return
    known = present[KEY].head(1000).to_list()
    likely = ((k, how) for k in known if (how := same_but(first[0], k)))
    there, how = next(likely, (known[0], ""))
    hint = alike_hint(how, plan.column, who.split(".")[1]) if how else "another `column` or `key`"
    tell(
        f"{who}: no {plan.column!r} is a {key!r} of table {plan.table!r} "
        f"({shown(first[0])} here, {shown(there)} there); every value is empty, try {hint}"
    )


def _sql(who: str, text: str, frame: pl.LazyFrame, column: str | None = None) -> pl.LazyFrame:
    """Add a column that SQL derives, or without one keep the rows for which it holds."""
    try:
        made = pl.sql_expr(text)
        frame_ = frame.filter(made) if column is None else frame.with_columns(made.alias(column))
        frame_.collect_schema()
    except pl.exceptions.PolarsError as error:
        names = ", ".join(frame.collect_schema().names()[:12])
        got, hint = f"{text!r} ({str(error).splitlines()[0]})", f"one on columns {names}"
        if "unsupported" in got:
            hint += '; a name that SQL itself uses stands in double quotes, as in "user"'
        raise GraphRecError(who, "a SQL expression", got, hint) from error
    return frame_


def _require(who: str, column: str, columns: list[str]) -> None:
    if column not in columns:
        got = "columns " + ", ".join(columns[:12])
        raise GraphRecError(who, f"a column {column!r}", got, did_you_mean(column, columns))

"""Column operations of a card on a table: rename, look up in other tables, derive, filter."""

from collections.abc import Callable, Mapping
from typing import Protocol

import polars as pl

from graphrec_pt.core.errors import GraphRecError, did_you_mean
from graphrec_pt.data.card import Lookup, TablePlan
from graphrec_pt.data.ids import alike_hint, same_but
from graphrec_pt.data.problems import shown

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
    """Apply a plan's renames, lookups, derived columns and filter.

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
    who: str, plan: Lookup, key: str, asked: pl.LazyFrame, found: pl.DataFrame, tell: Tell
) -> None:
    asked, found = asked.drop_nulls(), found.drop_nulls(KEY)
    if not len(found):
        return
    try:
        if len(asked.join(found.lazy(), on=KEY, how="semi").head(1).collect(engine="streaming")):
            return
        first = asked.head(1).collect()[KEY].to_list()
    except pl.exceptions.PolarsError:
        return  # rows that do not parse are reported when they are read
    if not first:
        return
    known = found[KEY].head(1000).to_list()
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

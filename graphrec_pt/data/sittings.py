"""Sittings: the rows of one user between two pauses, as lists that the user was shown."""

import polars as pl

from graphrec_pt.core.errors import GraphRecError, did_you_mean
from graphrec_pt.data.card import Sittings

_FRESH, _NUMBER, _MIXED = "__fresh", "__sitting", "__mixed"


def with_sittings(who: str, frame: pl.LazyFrame, plan: Sittings) -> pl.LazyFrame:
    """Return the rows with the id of their sitting and the time at which it began.

    A sitting ends where its user pauses for longer than ``plan.pause``. The id is
    ``user/number``, numbers in the order of time.

    Args:
        who: The option of the card, for errors.
        frame: One row per event.
        plan: The columns to read and to write.

    Raises:
        GraphRecError: For columns that are not there, and a predicate that is wrong.
    """
    columns = frame.collect_schema().names()
    for column in (plan.of, plan.at):
        if column not in columns:
            hint = did_you_mean(column, columns)
            raise GraphRecError(who, f"a column {column!r}", ", ".join(columns[:12]), hint)
    time = pl.col(plan.at).cast(pl.Float64, strict=False)
    pause = (time - time.shift(1)).over(plan.of, order_by=plan.at)
    frame = frame.with_columns((pause > plan.pause).fill_null(True).alias(_FRESH))
    number = pl.col(_FRESH).cast(pl.Int64).cum_sum().over(plan.of, order_by=plan.at)
    frame = frame.with_columns(number.alias(_NUMBER))
    sitting = [plan.of, _NUMBER]
    frame = frame.with_columns(pl.col(plan.at).min().over(sitting).alias(plan.began))
    if plan.mixed is None:
        frame = frame.with_columns(pl.lit(True).alias(_MIXED))
    else:
        holds = _predicate(f"{who}.mixed", plan.mixed, frame)
        both = (holds.any() & (~holds).any()).over(sitting)
        frame = frame.with_columns(both.alias(_MIXED))
    name = pl.format("{}/{}", pl.col(plan.of), pl.col(_NUMBER))
    named = pl.when(pl.col(_MIXED)).then(name).alias(plan.name)
    return frame.with_columns(named).drop(_FRESH, _NUMBER, _MIXED)


def _predicate(who: str, text: str, frame: pl.LazyFrame) -> pl.Expr:
    """Return the SQL predicate, false where it is unknown."""
    try:
        made = pl.sql_expr(text)
        frame.select(made).collect_schema()
    except pl.exceptions.PolarsError as error:
        got = f"{text!r} ({str(error).splitlines()[0]})"
        names = ", ".join(frame.collect_schema().names()[:12])
        raise GraphRecError(who, "a SQL predicate", got, f"one on columns {names}") from error
    return made.fill_null(False)

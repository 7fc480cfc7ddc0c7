"""Frames of any kind as Polars frames."""

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl
from pyarrow.lib import ArrowException

from graphrec_pt.core.errors import GraphRecError, raise_all


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

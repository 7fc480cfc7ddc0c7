"""Columns looked up in another table of the card."""

from collections.abc import Mapping

import polars as pl

from graphrec_pt.core.errors import GraphRecError, did_you_mean
from graphrec_pt.data.card import Lookup


def look_up(
    frame: pl.LazyFrame, lookups: Mapping[str, Lookup], earlier: Mapping[str, pl.LazyFrame]
) -> pl.LazyFrame:
    """Add columns found in other tables; the first of several rows with one key counts.

    Args:
        frame: The rows to add columns to.
        lookups: New column → where it is found.
        earlier: The tables opened so far.

    Raises:
        GraphRecError: When one of the columns that a lookup names is not there.
    """
    for new, plan in lookups.items():
        other = earlier.get(plan.table)
        if other is None:  # optional, and absent
            frame = frame.with_columns(pl.lit(None, pl.String).alias(new))
            continue
        key, value = plan.key or plan.column, plan.value or new
        _require("lookup " + new, plan.column, frame)
        for column in (key, value):
            _require(f"lookup {new} in table {plan.table!r}", column, other)
        found = other.select(
            pl.col(key).cast(pl.String).alias("__key"), pl.col(value).alias("__found")
        ).unique("__key", keep="first", maintain_order=True)
        asked = frame.with_columns(pl.col(plan.column).cast(pl.String).alias("__key"))
        joined = asked.join(found, on="__key", how="left", maintain_order="left")
        frame = joined.with_columns(pl.col("__found").alias(new)).drop("__key", "__found")
    return frame


def _require(who: str, column: str, frame: pl.LazyFrame) -> None:
    columns = frame.collect_schema().names()
    if column not in columns:
        got = "columns " + ", ".join(columns[:12])
        raise GraphRecError(who, f"a column {column!r}", got, did_you_mean(column, columns))

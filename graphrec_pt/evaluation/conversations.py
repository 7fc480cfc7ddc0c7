"""The outcome of recommendation in dialogue: ranks of what was recommended, and the responses."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt
import polars as pl

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.evaluation.outcome import read_tables
from graphrec_pt.evaluation.ranks import Floats, Ints

Bools = npt.NDArray[np.bool_]
COLUMNS: dict[str, type[pl.DataType]] = {
    "split": pl.String,
    "dialogue": pl.String,
    "user": pl.String,
    "item": pl.String,
    "rank": pl.Float64,
    "candidates": pl.Int64,
    "named": pl.Boolean,
    "response": pl.String,
    "reference": pl.String,
    "items_in_response": pl.Int64,
    "in_response": pl.Boolean,
}


@dataclass(frozen=True, eq=False)
class Conversations:
    """One row per instance: a turn and one item that it recommends.

    Intervals and tests resample whole dialogues, because turns of one dialogue are alike; metrics
    weigh every instance the same, as papers do.

    Args:
        table: The columns ``split``, ``dialogue``, ``user`` (the turn) and ``item`` (raw ids),
            ``rank`` (from 1, expected under ties, ∞ for an item that was no candidate),
            ``candidates``, ``named`` (whether the dialogue had named the item before),
            ``response`` and ``reference`` (texts of the turn, null where the data has none),
            ``items_in_response`` (different items) and ``in_response`` (whether the item is one).
        policy: ``seen``, ``history`` and ``responses``, how they were made.

    Raises:
        GraphRecError: For missing columns, several splits, and an item listed twice for a turn.
    """

    table: pl.DataFrame
    policy: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if dict(self.table.schema) != {name: kind() for name, kind in COLUMNS.items()}:
            expected = f"the columns {', '.join(COLUMNS)}"
            raise GraphRecError("Conversations", expected, self.table.schema)
        if self.table["split"].n_unique() > 1:
            got = sorted(self.table["split"].unique())
            raise GraphRecError("Conversations", "one split", got, "a filter on it")
        rank, most = pl.col("rank"), pl.col("candidates")
        outside = ~(rank >= 1) | rank.is_nan() | (rank.is_finite() & (rank > most))
        if self.table.select(outside.any()).item():
            row = self.table.filter(outside).row(0)
            raise GraphRecError("Conversations", "ranks in [1, candidates] or ∞", row)
        if self.table.select("user", "item").is_duplicated().any():
            raise GraphRecError("Conversations", "each item of a turn once", "one twice")

    def __len__(self) -> int:
        """How many instances there are."""
        return len(self.table)

    @cached_property
    def users(self) -> pl.Series:
        """Raw ids of the dialogues, ascending as texts ``[U]``; they are what is resampled."""
        return self.table["dialogue"].unique().sort()

    @cached_property
    def dialogue(self) -> Ints:
        """Row of `users` that each instance belongs to: ``[n]``."""
        return self.table["dialogue"].rank("dense").cast(pl.Int64).to_numpy() - 1

    @cached_property
    def rank(self) -> Floats:
        """Rank of each instance: ``[n]``."""
        return self.table["rank"].to_numpy()

    @cached_property
    def novel(self) -> Bools:
        """Whether the dialogue had not named the item before: ``[n]``."""
        return ~self.table["named"].to_numpy()

    @cached_property
    def first(self) -> Bools:
        """The first instance of each turn, which stands for its response: ``[n]``."""
        return self.table["user"].is_first_distinct().to_numpy()

    @cached_property
    def targets(self) -> pl.DataFrame:
        """Turn and item of each instance, in order."""
        return self.table.select("user", "item").sort("user", "item")

    def where(self, kept: pl.Expr | pl.Series) -> Self:
        """Return the outcome of some instances only."""
        return replace(self, table=self.table.filter(kept))

    def sums(self, values: npt.ArrayLike) -> Floats:
        """Return the sum over the instances of each dialogue: ``[n]`` to ``[U]``."""
        total = np.zeros(len(self.users))
        np.add.at(total, self.dialogue, values)
        return total


def read_conversations(path: str | Path) -> dict[str, Conversations]:
    """Return the outcome of each split of a file.

    Raises:
        GraphRecError: When the file is missing or is no such table.
    """
    tables, policy = read_tables(path, list(COLUMNS))
    return {when: Conversations(table, policy) for when, table in tables.items()}

"""The ranks of the targets by raw ids, in memory and on disk: the input of accuracy metrics."""

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

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

COLUMNS: dict[str, type[pl.DataType]] = {
    "split": pl.String,
    "user": pl.String,
    "item": pl.String,
    "rank": pl.Float64,
    "candidates": pl.Int64,
}
COMPAT = "compat"
"""Key of a policy that deviates from a full ranking."""


@dataclass(frozen=True, eq=False)
class Ranks:
    """The rank of every target of one split.

    Args:
        table: One row per target with the columns ``split``, ``user``, ``item`` (raw ids),
            ``rank`` (from 1; the expected one under ties, so it may be a half; ∞ for a target that
            was no candidate) and ``candidates`` (how many were ranked).
        policy: How the ranking was made: ``seen``, ``history`` and, where negatives were sampled,
            ``compat``.

    Raises:
        GraphRecError: For missing columns, several splits, a target listed twice, and ranks
            outside ``[1, candidates]``.
    """

    table: pl.DataFrame
    policy: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if dict(self.table.schema) != {name: kind() for name, kind in COLUMNS.items()}:
            raise GraphRecError("Ranks", f"the columns {', '.join(COLUMNS)}", self.table.schema)
        if self.table["split"].n_unique() > 1:
            got = sorted(self.table["split"].unique())
            raise GraphRecError("Ranks", "one split", got, "a filter on it")
        rank, most = pl.col("rank"), pl.col("candidates")
        outside = self.table.filter(
            ~(rank >= 1) | rank.is_nan() | (rank.is_finite() & (rank > most))
        )
        if len(outside):
            raise GraphRecError("Ranks", "ranks in [1, candidates] or ∞", outside.row(0))
        if self.table.select("user", "item").is_duplicated().any():
            raise GraphRecError("Ranks", "each target of a user once", "one twice")

    def __len__(self) -> int:
        """How many targets there are."""
        return len(self.table)

    @cached_property
    def users(self) -> pl.Series:
        """Raw ids of the users, ascending as texts ``[U]``; per-user values are in this order."""
        return self.table["user"].unique().sort()

    @cached_property
    def user(self) -> Ints:
        """Row of `users` that each target belongs to: ``[n]``."""
        return self.table["user"].rank("dense").cast(pl.Int64).to_numpy() - 1

    @cached_property
    def count(self) -> Ints:
        """Targets of each user: ``[U]``."""
        return np.bincount(self.user, minlength=len(self.users))

    @cached_property
    def rank(self) -> Floats:
        """Rank of each target: ``[n]``."""
        return self.table["rank"].to_numpy()

    @cached_property
    def candidates(self) -> Ints:
        """How many candidates each target was ranked among: ``[n]``."""
        return self.table["candidates"].to_numpy()

    @cached_property
    def place(self) -> Ints:
        """Place of each target among the targets of its user, from 1 for the best: ``[n]``."""
        order = np.lexsort((self.rank, self.user))
        place = np.empty(len(order), np.int64)
        first = np.cumsum(self.count) - self.count
        place[order] = np.arange(len(order)) - first[self.user[order]] + 1
        return place

    def per_user(self, values: npt.ArrayLike) -> Floats:
        """Return the sum over each user's targets: ``[n]`` to ``[U]``."""
        total = np.zeros(len(self.users))
        np.add.at(total, self.user, values)
        return total

    @cached_property
    def targets(self) -> pl.DataFrame:
        """User and item of each target, in order."""
        return self.table.select("user", "item").sort("user", "item")

    def where(self, kept: pl.Expr | pl.Series) -> Self:
        """Return the ranks of some targets only."""
        return replace(self, table=self.table.filter(kept))


def read_ranks(path: str | Path) -> dict[str, Ranks]:
    """Return the ranks of each split of a file.

    Raises:
        GraphRecError: When the file is missing or is no table of ranks.
    """
    tables, policy = read_tables(path, list(COLUMNS))
    return {when: Ranks(table, policy) for when, table in tables.items()}

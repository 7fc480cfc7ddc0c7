"""Scores of what lists showed, and what of it was clicked."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Self

import numpy as np
import polars as pl

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.evaluation.outcome import read_tables
from graphrec_pt.evaluation.ranks import Floats, Ints

COLUMNS: dict[str, type[pl.DataType]] = {
    "split": pl.String,
    "user": pl.String,
    "impression": pl.String,
    "item": pl.String,
    "value": pl.Float64,
    "predicted": pl.Float64,
}


@dataclass(frozen=True, eq=False)
class Impressions:
    """The score and the label of every item that some lists showed.

    Args:
        table: One row per item of a list, with the columns ``split``, ``user``, ``impression``,
            ``item`` (raw ids), ``value`` (1 for clicked, else 0) and ``predicted``, the score.
        policy: Evaluation policy: ``history``, ``labels``, and how many lists were skipped.

    Raises:
        GraphRecError: For missing columns, several splits, other labels, scores that are not
            finite, and lists of one label.
    """

    table: pl.DataFrame
    policy: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if dict(self.table.schema) != {name: kind() for name, kind in COLUMNS.items()}:
            expected = f"the columns {', '.join(COLUMNS)}"
            raise GraphRecError("Impressions", expected, self.table.schema)
        if self.table["split"].n_unique() > 1:
            got = sorted(self.table["split"].unique())
            raise GraphRecError("Impressions", "one split", got, "a filter on it")
        sound = pl.col("predicted").is_finite() & pl.col("value").is_in([0.0, 1.0])
        wrong = self.table.filter(~sound.fill_null(False))
        if len(wrong):
            expected = "finite scores, labels 0 and 1"
            raise GraphRecError("Impressions", expected, wrong.row(0))

    def __len__(self) -> int:
        """How many items were shown."""
        return len(self.table)

    @cached_property
    def users(self) -> pl.Series:
        """Raw ids of the users, ascending as texts ``[U]``; per-user values are in this order."""
        return self.table["user"].unique().sort()

    @cached_property
    def targets(self) -> pl.DataFrame:
        """User, list, item and label of each row, in order."""
        kept = ("user", "impression", "item", "value")
        return self.table.select(kept).sort(kept)

    def where(self, kept: pl.Expr | pl.Series) -> Self:
        """Return the outcome of some items only."""
        return replace(self, table=self.table.filter(kept))

    @cached_property
    def lists(self) -> list[tuple[Floats, Floats]]:
        """Labels and scores of each list, lists in the order of their first row."""
        label, score = self.table["value"].to_numpy(), self.table["predicted"].to_numpy()
        number = self._number
        order = np.argsort(number, kind="stable")
        if not len(number):
            return []
        rows = np.split(order, np.cumsum(np.bincount(number))[:-1])
        return [(label[at], score[at]) for at in rows]

    @cached_property
    def owner(self) -> Ints:
        """Row of `users` of each list: int64 ``[L]``."""
        user = self.table["user"].rank("dense").cast(pl.Int64).to_numpy() - 1
        _, first = np.unique(self._number, return_index=True)
        owner: Ints = user[first]
        return owner

    @cached_property
    def _number(self) -> Ints:
        """The list of each row, counted in the order of first rows: int64 ``[n]``."""
        pairs = self.table.select("user", "impression")
        first = pairs.unique(maintain_order=True).with_row_index("number")
        found = pairs.join(first, on=["user", "impression"], how="left", maintain_order="left")
        number: Ints = found["number"].cast(pl.Int64).to_numpy()
        return number

    def per_list(self, value: Callable[[Floats, Floats], float]) -> Floats:
        """Return a value of labels and scores for each list: ``[L]``."""
        return np.array([value(label, score) for label, score in self.lists], np.float64)


def read_impressions(path: str | Path) -> dict[str, Impressions]:
    """Return the outcome of each split of a file.

    Raises:
        GraphRecError: When the file is missing or is no table of shown items.
    """
    tables, policy = read_tables(path, list(COLUMNS))
    return {when: Impressions(table, policy) for when, table in tables.items()}

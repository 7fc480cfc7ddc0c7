"""Predicted values of the targets, for tasks that rank nothing: ratings, clicks and sets."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Self

import polars as pl
from torch import Tensor

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.evaluation.outcome import read_tables
from graphrec_pt.evaluation.ranks import Floats, Ints
from graphrec_pt.graph.graph import RAW_ID
from graphrec_pt.graph.split import Split, When

COLUMNS: dict[str, type[pl.DataType]] = {
    "split": pl.String,
    "user": pl.String,
    "item": pl.String,
    "value": pl.Float64,
    "predicted": pl.Float64,
}


@dataclass(frozen=True, eq=False)
class Predicted:
    """The predicted and the true value of every target of one split.

    Args:
        table: One row per target with the columns ``split``, ``user``, ``item`` (raw ids),
            ``value`` (a rating, or 0 and 1) and ``predicted``. A pair may occur more than once.
        policy: Evaluation policy: ``history``, and ``labels`` where some were drawn.

    Raises:
        GraphRecError: For missing columns, several splits, and values that are not finite.
    """

    table: pl.DataFrame
    policy: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if dict(self.table.schema) != {name: kind() for name, kind in COLUMNS.items()}:
            raise GraphRecError("Predicted", f"the columns {', '.join(COLUMNS)}", self.table.schema)
        if self.table["split"].n_unique() > 1:
            got = sorted(self.table["split"].unique())
            raise GraphRecError("Predicted", "one split", got, "a filter on it")
        finite = pl.col("value").is_finite() & pl.col("predicted").is_finite()
        wrong = self.table.filter(~finite.fill_null(False))
        if len(wrong):
            raise GraphRecError("Predicted", "finite values", wrong.row(0))

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
    def value(self) -> Floats:
        """True value of each target: ``[n]``."""
        return self.table["value"].to_numpy()

    @cached_property
    def predicted(self) -> Floats:
        """Predicted value of each target: ``[n]``."""
        return self.table["predicted"].to_numpy()

    @cached_property
    def targets(self) -> pl.DataFrame:
        """User, item and true value of each target, in order."""
        kept = ("user", "item", "value")
        return self.table.select(kept).sort(kept)

    def where(self, kept: pl.Expr | pl.Series) -> Self:
        """Return the predictions for some targets only."""
        return replace(self, table=self.table.filter(kept))


def read_predicted(path: str | Path) -> dict[str, Predicted]:
    """Return the predictions for each split of a file.

    Raises:
        GraphRecError: When the file is missing or is no table of predictions.
    """
    tables, policy = read_tables(path, list(COLUMNS))
    return {when: Predicted(table, policy) for when, table in tables.items()}


def predicted_table(
    split: Split, when: When, source: Tensor, target: Tensor, value: Tensor, predicted: Tensor
) -> pl.DataFrame:
    """Return one row per pair, as :class:`~graphrec_pt.evaluation.predicted.Predicted` has them.

    Args:
        split: The split; its graph has the raw ids of the nodes.
        when: Name of the part.
        source: int64 ``[n]`` global ids.
        target: int64 ``[n]`` global ids.
        value: Floats ``[n]``, true values.
        predicted: Floats ``[n]``, predicted values.
    """
    relation = split.graph.schema.relation(split.relation)

    def raw(kind: str, nodes: Tensor) -> pl.Series:
        rows = (nodes - split.graph.nodes(kind).start).numpy()
        return split.graph.tables[kind][RAW_ID].gather(rows)

    return pl.DataFrame(
        {
            "split": pl.Series([when]).new_from_index(0, len(source)),
            "user": raw(relation.source, source),
            "item": raw(relation.target, target),
            "value": value.double().numpy(),
            "predicted": predicted.double().numpy(),
        }
    )

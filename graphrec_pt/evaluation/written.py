"""Written texts of the targets beside their references: the outcome of tasks that write."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Self

import numpy as np
import polars as pl

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.evaluation.outcome import read_tables
from graphrec_pt.evaluation.ranks import Floats, Ints
from graphrec_pt.evaluation.text_scores import tokens_of

COLUMNS: dict[str, pl.DataType] = {
    "split": pl.String(),
    "user": pl.String(),
    "item": pl.String(),
    "reference": pl.String(),
    "text": pl.String(),
    "tokens": pl.Int64(),
    "nll": pl.Float64(),
    "features": pl.List(pl.String()),
    "gold": pl.List(pl.String()),
    "items": pl.Int64(),
    "gold_items": pl.Int64(),
    "stated": pl.Int64(),
    "grounded": pl.Int64(),
}
OPTIONAL = ("reference", "tokens", "nll")
"""Columns that may have no value."""
VOCABULARY, REFERENCES = "features", "references"
"""Keys of a policy: how many names texts may name; how many targets have a reference."""


@dataclass(frozen=True, eq=False)
class Written:
    """What a system wrote for every target of one split.

    Args:
        table: One row per target with the columns

            - ``split``, ``user``, ``item``: raw ids; a pair may occur more than once;
            - ``reference``: the text of the data, null where it has none;
            - ``text``: what the system wrote;
            - ``tokens`` and ``nll``: tokens of the reference in the system's own tokenizer, and
              the sum of their negative log-likelihoods in nats; null for systems without one;
            - ``features`` and ``gold``: the names of the graph in the text and in the reference;
            - ``items`` and ``gold_items``: how often they name items;
            - ``stated`` and ``grounded``: facts of the text, and those that the history graph has.
        policy: Evaluation policy: ``history``, ``features``, ``references``.

    Raises:
        GraphRecError: For missing columns, several splits, missing values, and likelihoods that
            are not finite.
    """

    table: pl.DataFrame
    policy: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if dict(self.table.schema) != COLUMNS:
            raise GraphRecError("Written", f"the columns {', '.join(COLUMNS)}", self.table.schema)
        if self.table["split"].n_unique() > 1:
            got = sorted(self.table["split"].unique())
            raise GraphRecError("Written", "one split", got, "a filter on it")
        for name in COLUMNS.keys() - set(OPTIONAL):
            if self.table[name].null_count():
                raise GraphRecError("Written", f"a {name} in every row", "none in some")
        known = self.table.filter(pl.col("nll").is_not_null())
        wrong = known.filter(~pl.col("nll").is_finite() | ~(pl.col("tokens") > 0).fill_null(False))
        if len(wrong):
            likelihood = wrong.select("tokens", "nll").row(0)
            raise GraphRecError("Written", "finite likelihoods of at least one token", likelihood)

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
    def texts(self) -> list[list[str]]:
        """Tokens of what was written, an empty list for an empty text: ``[n]``."""
        return [tokens_of(text) for text in self.table["text"]]

    @cached_property
    def references(self) -> list[list[str]]:
        """Tokens of the references, an empty list where there is none: ``[n]``."""
        return [tokens_of(text or "") for text in self.table["reference"]]

    @cached_property
    def compared(self) -> Floats:
        """1 for targets with a reference, else 0: ``[n]``."""
        return self.table["reference"].is_not_null().cast(pl.Float64).to_numpy()

    @cached_property
    def targets(self) -> pl.DataFrame:
        """User, item and reference of each target, in order."""
        kept = ("user", "item", "reference")
        return self.table.select(kept).sort(kept)

    def per_user(self, values: Floats) -> Floats:
        """Return sums over each user's targets: ``[n, …]`` to ``[U, …]``."""
        total = np.zeros((len(self.users), *values.shape[1:]))
        np.add.at(total, self.user, values)
        return total

    def where(self, kept: pl.Expr | pl.Series) -> Self:
        """Return what was written for some targets only."""
        return replace(self, table=self.table.filter(kept))


def read_written(path: str | Path) -> dict[str, Written]:
    """Return the texts for each split of a file.

    Raises:
        GraphRecError: When the file is missing or is no table of texts.
    """
    tables, policy = read_tables(path, list(COLUMNS))
    return {when: Written(table, policy) for when, table in tables.items()}


def written_table(
    when: str, rows: pl.DataFrame, likelihoods: tuple[Sequence[float], Sequence[int]] | None
) -> pl.DataFrame:
    """Return a table as :class:`Written` has it.

    Args:
        when: Name of the part.
        rows: All other columns, in any order.
        likelihoods: Of each reference, its negative log-likelihood and its tokens; a reference
            without tokens has none.
    """
    size = len(rows)
    nll, tokens = likelihoods or ([0.0] * size, [0] * size)
    counted = pl.Series(tokens, dtype=pl.Int64)
    return rows.with_columns(
        split=pl.lit(when),
        tokens=pl.when(counted > 0).then(counted),
        nll=pl.when(counted > 0).then(pl.Series(nll, dtype=pl.Float64)),
    ).select(pl.col(name).cast(kind) for name, kind in COLUMNS.items())

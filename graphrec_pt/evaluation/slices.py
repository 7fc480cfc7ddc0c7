"""Slices of the targets that reports show separately: cold and rare nodes, head and tail."""

from typing import TypeVar

import polars as pl
import torch
from torch import Tensor

from graphrec_pt.evaluation.outcome import Outcome
from graphrec_pt.graph.graph import RAW_ID, Graph

FEW = 5
"""Training interactions below which a node is rare or a history short."""
TAIL = 0.2
"""Share of the training interactions that the long tail of the catalogue holds."""
Part = TypeVar("Part", bound=Outcome)


def slices(outcome: Part, train: Graph, relation: str) -> dict[str, Part]:
    """Return the targets by how often training saw their item and their user.

    ``cold_items`` were never seen, ``rare_items`` one to four times, ``tail_items`` are the least
    popular items that together hold a fifth of the training interactions (cold and rare ones
    included), ``head_items`` the others. ``cold_users``, ``short_users`` (one to four events) and
    ``long_users`` part the users. Slices without targets are left out.

    Args:
        outcome: The outcome of one split.
        train: The training graph.
        relation: The relation that is predicted.
    """
    definition = train.schema.relation(relation)
    bought = train.edges(relation).target - train.nodes(definition.target).start
    degree = torch.bincount(bought, minlength=train.num_nodes(definition.target))
    items = _degrees(train, definition.target, degree, "item", "seen")
    items = items.with_columns(pl.Series("tail", tail(degree).numpy()))
    users = _degrees(train, definition.source, train.degree(relation), "user", "length")
    table = outcome.table.join(items, on="item", how="left", maintain_order="left")
    table = table.join(users, on="user", how="left", maintain_order="left")
    seen, length = pl.col("seen"), pl.col("length")
    parts = {
        "cold_items": seen == 0,
        "rare_items": seen.is_between(1, FEW - 1),
        "tail_items": pl.col("tail"),
        "head_items": ~pl.col("tail"),
        "cold_users": length == 0,
        "short_users": length.is_between(1, FEW - 1),
        "long_users": length >= FEW,
    }
    kept = table.select(**parts)
    return {name: outcome.where(kept[name]) for name in parts if kept[name].any()}


def tail(degree: Tensor, share: float = TAIL) -> Tensor:
    """Say which items are the least popular ones that together hold `share` of the interactions.

    Args:
        degree: int64 ``[V]``.
        share: Of the sum of degrees, at most.

    Returns:
        bool ``[V]``; items of equal degree are all in or all out.
    """
    values, count = torch.unique(degree, return_counts=True)  # ascending
    held = (values * count).cumsum(0)
    inside = values[held <= share * int(degree.sum())]
    return torch.isin(degree, inside)


def _degrees(train: Graph, kind: str, degree: Tensor, name: str, column: str) -> pl.DataFrame:
    return pl.DataFrame({name: train.tables[kind][RAW_ID], column: degree.numpy()})

"""Beams: paths that a search goes on with, and what it ends in."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Beams:
    """Paths that are gone on with; there may be one relation more than there are hops.

    Args:
        nodes: int64 ``[n, h+1]``.
        relations: int64 ``[n, h]`` or ``[n, h+1]``.
        row: int64 ``[n]``, whose they are.
        score: float32 ``[n]``, log-probability.
        chance: float32 ``[n]``, sum of the probabilities of the tokens.
    """

    nodes: Tensor
    relations: Tensor
    row: Tensor
    score: Tensor
    chance: Tensor

    def __len__(self) -> int:
        """Return n."""
        return len(self.row)

    def select(self, rows: Tensor) -> "Beams":
        """Return some of them."""
        return Beams(**{name: value[rows] for name, value in vars(self).items()})

    def to(self, node: Tensor, step: Tensor) -> "Beams":
        """Return them with one node more each, at a log-probability of `step`."""
        nodes = torch.cat([self.nodes, node.unsqueeze(1)], dim=1)
        return Beams(nodes, self.relations, self.row, *self._scored(step))

    def by(self, relation: Tensor, step: Tensor) -> "Beams":
        """Return them with one relation more each, at a log-probability of `step`."""
        relations = torch.cat([self.relations, relation.unsqueeze(1)], dim=1)
        return Beams(self.nodes, relations, self.row, *self._scored(step))

    def best(self, most: int) -> "Beams":
        """Return the most probable ones of each row; equal ones in the order they stand in."""
        order = torch.argsort(self.score, descending=True, stable=True)
        order = order[torch.argsort(self.row[order], stable=True)]
        row = self.row[order]
        count = torch.bincount(row)
        rank = torch.arange(len(row)) - (count.cumsum(0) - count)[row]
        return self.select(order[rank < most])

    def _scored(self, step: Tensor) -> tuple[Tensor, Tensor]:
        return self.score + step, self.chance + step.exp()


def joined(parts: Sequence[Beams]) -> Beams:
    """Return beams of equal length one after the other."""
    columns = zip(*(vars(part).values() for part in parts), strict=True)
    return Beams(*(torch.cat(each) for each in columns))


@dataclass(frozen=True, eq=False)
class Ends:
    """Paths of one length to every item.

    Args:
        beams: Without the last node.
        score: ``[n, V]``, log-probability of the whole path, or the mean probability of the tokens
            that were said where items are ranked by that; −∞ for items that it cannot end in.
    """

    beams: Beams
    score: Tensor

"""Trees that grow hop by hop from roots, and their packing into sequences."""

from typing import NamedTuple

import torch
from torch import Tensor

from graphrec_pt.graph.graph import Graph
from graphrec_pt.sampling.edges import relations_of
from graphrec_pt.sampling.sample import Subgraphs


class TreeBatch(NamedTuple):
    """Tokens of B growing sequences in the order they were reached: hop by hop, rows ascending.

    Args:
        row: int64 ``[T]``, the sequence of each token.
        node: int64 ``[T]``.
        parent: int64 ``[T]``, a token of this table, −1 for roots.
        hop: int64 ``[T]``.
        slot: int64 ``[T]``.
        score: float32 ``[T]``.
        position: int64 ``[T]``, edge from the parent.
        origin: int64 ``[T]``, the root node that a token descends from.
    """

    row: Tensor
    node: Tensor
    parent: Tensor
    hop: Tensor
    slot: Tensor
    score: Tensor
    position: Tensor
    origin: Tensor

    def grow(
        self,
        graph: Graph,
        parent: Tensor,
        position: Tensor,
        slot: Tensor | None = None,
        score: Tensor | None = None,
    ) -> "TreeBatch":
        """Return the forest with one more token for each edge.

        Args:
            graph: The graph.
            parent: int64 ``[n]``, tokens.
            position: int64 ``[n]``, an edge from each.
            slot: int64 ``[n]``; by default the parent's, or 1 below a root.
            score: float32 ``[n]``; 0 by default.
        """
        new = TreeBatch(
            row=self.row[parent],
            node=graph.csr.indices[position].long(),
            parent=parent,
            hop=self.hop[parent] + 1,
            slot=self.slot[parent].clamp(min=1) if slot is None else slot,
            score=torch.zeros_like(parent, dtype=torch.float32) if score is None else score,
            position=position,
            origin=self.origin[parent],
        )
        return TreeBatch(*(torch.cat(pair) for pair in zip(self, new, strict=True)))

    def take(self, tokens: Tensor) -> "TreeBatch":
        """Return the chosen tokens in the given order; parents outside them become −1."""
        number = torch.full_like(self.row, -1)
        number[tokens] = torch.arange(len(tokens), device=tokens.device)
        parent = torch.where(self.parent < 0, -1, number[self.parent.clamp(min=0)])
        return TreeBatch(*(column[tokens] for column in self._replace(parent=parent)))

    def keep(self, kept: Tensor) -> "TreeBatch":
        """Return the tokens where `kept` (bool ``[T]``) is true."""
        return self.take(kept.nonzero().squeeze(1))

    def distinct(self, graph: Graph) -> "TreeBatch":
        """Return the forest without tokens whose node stands earlier in the same sequence."""
        return self.keep(first_of(self.row * graph.num_nodes() + self.node))

    def rank(self) -> Tensor:
        """Return how many tokens of the same sequence were reached before each: int64 ``[T]``."""
        order = torch.argsort(self.row, stable=True)
        count = torch.bincount(self.row)
        first = count.cumsum(0) - count
        rank = torch.empty_like(order)
        rank[order] = torch.arange(len(order), device=order.device)
        return rank - first[self.row]

    def pack(self, graph: Graph, size: int) -> Subgraphs:
        """Return the forest as packed sequences, each in the order its tokens were reached."""
        order = torch.argsort(self.row, stable=True)
        count = torch.bincount(self.row, minlength=size)
        ptr = torch.cat([count.new_zeros(1), count.cumsum(0)])
        place = torch.empty_like(order)
        place[order] = torch.arange(len(order), device=order.device)
        row, parent = self.row[order], self.parent[order]
        source = self.node[parent.clamp(min=0)]
        inside = torch.where(parent >= 0, place[parent.clamp(min=0)] - ptr[row], -1)
        position = torch.where(parent >= 0, self.position[order], -1)
        return Subgraphs(
            node=self.node[order],
            ptr=ptr,
            parent=inside,
            relation=relations_of(graph, position, source),
            hop=self.hop[order],
            slot=self.slot[order],
            score=self.score[order],
            position=position,
        )


def plant(roots: Tensor, row: Tensor | None = None) -> TreeBatch:
    """Return the forest that holds only roots.

    Args:
        roots: int64 ``[n]`` nodes.
        row: int64 ``[n]``, the sequence of each, ascending; by default one each.
    """
    zero, none = torch.zeros_like(roots), torch.full_like(roots, -1)
    rows = torch.arange(len(roots), device=roots.device) if row is None else row
    return TreeBatch(rows, roots, none, zero, zero, zero.float(), none, roots)


def first_of(values: Tensor) -> Tensor:
    """Return which elements are the first of their value: bool ``[n]``."""
    first = torch.zeros_like(values, dtype=torch.bool)
    ordered, order = torch.sort(values, stable=True)
    changes = torch.ones_like(first)
    changes[1:] = ordered[1:] != ordered[:-1]
    first[order] = changes
    return first

"""What is evaluated: anything that scores the whole catalogue for a block of queries."""

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from graphrec_pt.core.errors import GraphRecError


class Scorer(Protocol):
    """Scores every candidate for some queries.

    A scorer is made for one history graph: what it may know about a source at validation or at
    test is settled before it is asked.
    """

    def scores(self, nodes: Tensor) -> Tensor:
        """Return the scores of the whole catalogue.

        Args:
            nodes: int64 ``[B]``, global ids of the sources to recommend to.

        Returns:
            Floats ``[B, V]``, column *v* for the *v*-th node of the candidate type; −∞ for what
            must not be recommended, never NaN.
        """
        ...


@dataclass(frozen=True, eq=False)
class Factorised:
    """Inner products of query vectors with a catalogue: ``s(q, v) = q · t_v + b_v``.

    Only the product of the block that is asked for ever exists.

    Args:
        nodes: int64 ``[Q]``, global ids of the sources, ascending.
        queries: Floats ``[Q, D]``, one vector per source.
        table: ``[V, D]`` of the same type, one vector per candidate.
        bias: ``[V]`` or None.

    Raises:
        GraphRecError: For shapes that do not fit, and sources that do not ascend.
    """

    nodes: Tensor
    queries: Tensor
    table: Tensor
    bias: Tensor | None = None

    def __post_init__(self) -> None:
        queries, table = self.queries, self.table
        fits = queries.ndim == table.ndim == 2 and queries.shape[1] == table.shape[1]
        fits &= self.nodes.shape == (len(queries),)
        fits &= self.bias is None or self.bias.shape == (len(table),)
        if not fits:
            got = [list(t.shape) for t in (self.nodes, queries, table, self.bias) if t is not None]
            expected = "nodes [Q], queries [Q, D], table [V, D] and bias [V]"
            raise GraphRecError("Factorised", expected, got)
        if bool((self.nodes[1:] <= self.nodes[:-1]).any()):
            raise GraphRecError("Factorised", "ascending nodes", "others", "torch.sort")

    def scores(self, nodes: Tensor) -> Tensor:
        """Return the inner products of some sources with the catalogue: ``[B, V]``."""
        queries = self._queries(nodes)  # [B, D]
        if self.bias is None:
            return queries @ self.table.T  # [B, V]
        return torch.addmm(self.bias, queries, self.table.T)

    def pairs(self, nodes: Tensor, column: Tensor) -> Tensor:
        """Return the inner products of sources with one candidate each: ``[B]``."""
        at = column.to(self.table.device)
        found = (self._queries(nodes) * self.table[at]).sum(1)
        return found if self.bias is None else found + self.bias[at]

    def _queries(self, nodes: Tensor) -> Tensor:
        row = torch.searchsorted(self.nodes, nodes).clamp(max=max(len(self.nodes) - 1, 0))
        if len(nodes) and (not len(self.nodes) or bool((self.nodes[row] != nodes).any())):
            raise GraphRecError("Factorised", "sources that have a query vector", "others")
        return self.queries[row.to(self.queries.device)]

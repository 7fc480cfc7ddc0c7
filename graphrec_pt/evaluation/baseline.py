"""The baseline family: training-free or closed-form systems that every report compares with."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from scipy.sparse import csr_array
from torch import Tensor

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.core.registry import Registry
from graphrec_pt.graph.graph import Graph
from graphrec_pt.predict.scorer import Scorer

Sparse = csr_array[Any, tuple[int, int]]
Dense = npt.NDArray[np.float32]
_DENSE = 0.1  # share of entries from which a dense product is the faster one


class Fitted(Protocol):
    """A fitted baseline; :meth:`on` makes it a scorer for a history graph."""

    def on(self, history: Graph) -> Scorer:
        """Return the scorer for a history graph."""
        ...


class Baseline(Protocol):
    """Learns from the edges of a given graph only; a frozen config."""

    def fit(self, graph: Graph, relation: str | None = None) -> Fitted:
        """Return the fitted baseline.

        Args:
            graph: The training graph: ``split.train``, or ``split.history("test")`` to learn from
                validation events too, which a report must then state.
            relation: The relation to predict; the first interaction relation by default.

        Raises:
            GraphRecError: When the relation does not fit, e.g. has no times.
        """
        ...


baseline: Registry[Baseline] = Registry("baseline")
"""``@baseline("name")`` makes a class usable as a baseline.

Example:
    >>> @baseline("by_id")
    ... @dataclass(frozen=True)
    ... class ById:
    ...     def fit(self, graph, relation=None):
    ...         name = predicted_relation(graph, relation)
    ...         items = graph.num_nodes(graph.schema.relation(name).target)
    ...         return Constant(torch.arange(items, dtype=torch.float32))
    >>> baseline.build("by_id").fit(checkerboard(10)).score.shape
    torch.Size([10])
"""


@dataclass(frozen=True, eq=False)
class LinearBaseline:
    """A fitted baseline whose scores are linear in a query: ``s = q(history) W + p``.

    Args:
        relation: The relation that is predicted.
        weights: ``[V, V]``, sparse or dense; row = candidate of the query.
        query: Makes the queries of all sources, ``[sources, V]``, from a history graph.
        prior: *p*, float32 ``[V]``, the same for all sources; None for zeros.
    """

    relation: str
    weights: Sparse | Dense
    query: Callable[[Graph, str], Sparse] = field(repr=False)
    prior: Dense | None = None

    def on(self, history: Graph) -> "LinearScorer":
        """Return the scorer for a history graph of the same nodes."""
        definition = history.schema.relation(self.relation)
        queries, weights = self.query(history, self.relation), self.weights
        if queries.shape[1] != weights.shape[0]:
            expected = f"a history with {weights.shape[0]} nodes of type {definition.target!r}"
            raise GraphRecError("baseline", expected, queries.shape[1])
        if isinstance(weights, csr_array) and weights.nnz > _DENSE * np.prod(weights.shape):
            weights = weights.toarray()
        return LinearScorer(history.nodes(definition.source), queries, weights, self.prior)


@dataclass(frozen=True, eq=False)
class LinearScorer:
    """Scores of a :class:`LinearBaseline` baseline.

    Args:
        sources: Global ids that the rows of `queries` stand for.
        queries: ``[sources, V]``.
        weights: ``[V, V]``.
        prior: ``[V]`` or None.
    """

    sources: range
    queries: Sparse
    weights: Sparse | Dense
    prior: Dense | None = None

    def scores(self, nodes: Tensor) -> Tensor:
        """Return the scores of the whole catalogue: float32 ``[B, V]``."""
        product = self.queries[nodes.numpy() - self.sources.start] @ self.weights
        dense = product.toarray() if isinstance(product, csr_array) else product
        if self.prior is not None:
            dense += self.prior
        return torch.from_numpy(np.ascontiguousarray(dense, np.float32))  # [B, V]


def predicted_relation(graph: Graph, relation: str | None, *, timed: bool = False) -> str:
    """Return the relation to predict, the first interaction relation by default.

    Raises:
        GraphRecError: When there is none, or it should have times and has not.
    """
    definition = graph.schema.interaction(relation)
    if timed and not definition.timed:
        raise GraphRecError(
            "baseline", "a timed relation", repr(definition.name), "popularity or ease"
        )
    return definition.name


def interaction_matrix(graph: Graph, relation: str) -> Sparse:
    """Return the binary interaction matrix of sources and candidates: float32 ``[sources, V]``."""
    from graphrec_pt.data.convert.scipy import to_scipy

    matrix: Sparse = to_scipy(graph, relation, weights=False)
    matrix.data[:] = 1
    return matrix

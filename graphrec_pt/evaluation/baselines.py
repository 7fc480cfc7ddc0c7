"""Baselines that rank: popularity, the last item, neighbours of items, linear models."""

from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
import torch
from pydantic import Field
from scipy.sparse import coo_array, csr_array, diags_array
from torch import Tensor

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.evaluation.baseline import (
    LinearBaseline,
    Sparse,
    baseline,
    interaction_matrix,
    predicted_relation,
)
from graphrec_pt.graph.graph import Graph
from graphrec_pt.graph.sequences import sequences, transition_counts


@dataclass(frozen=True, eq=False)
class Constant:
    """The same scores for all sources.

    Args:
        score: float32 ``[V]``.
    """

    score: Tensor

    def on(self, history: Graph) -> "Constant":
        """Return itself; the scores do not depend on histories."""
        return self

    def scores(self, nodes: Tensor) -> Tensor:
        """Return the scores of the whole catalogue: ``[B, V]``."""
        return self.score.repeat(len(nodes), 1)


@baseline("popularity")
class Popularity:
    """Score = interactions of a candidate in the graph fitted on."""

    def fit(self, graph: Graph, relation: str | None = None) -> Constant:
        """Count the interactions."""
        name = predicted_relation(graph, relation)
        catalogue = graph.nodes(graph.schema.relation(name).target)
        bought = graph.edges(name).target - catalogue.start
        return Constant(torch.bincount(bought, minlength=len(catalogue)).float())


@baseline("markov")
class Markov:
    """Score = how often a candidate came right after the last event, then its popularity.

    Most successors occur once and most candidates never, so counts alone leave nearly all of the
    catalogue tied. Popularity is added as a share below 1, so that it never outweighs a transition.
    """

    def fit(self, graph: Graph, relation: str | None = None) -> LinearBaseline:
        """Count the successors."""
        name = predicted_relation(graph, relation, timed=True)
        weights = transition_matrix(
            graph, name, window=1, backward=0, source_power=0, target_power=0
        )
        read = sequences(graph, name)
        popular = np.bincount(read.item, minlength=read.shape[1]) / (len(read.item) + 1)
        query = partial(recent, last=1, decay=1.0)
        return LinearBaseline(name, weights, query, popular.astype(np.float32))


@baseline("item_knn")
class ItemKNN:
    """Score = sum of the cosines of a candidate with everything in the history.

    ``cos(i, j) = |U_i ∩ U_j| / (√(|U_i| |U_j|) + shrink)`` (Sarwar et al., WWW 2001).

    Args:
        k: Neighbours kept of each candidate, the nearest ones; None: all.
        shrink: Added to the denominator, so that few common users count for less.
    """

    k: Annotated[int, Field(ge=1)] | None = None
    shrink: Annotated[float, Field(ge=0)] = 0.0

    def fit(self, graph: Graph, relation: str | None = None) -> LinearBaseline:
        """Compute the cosines."""
        name = predicted_relation(graph, relation)
        bought = interaction_matrix(graph, name)
        common = coo_array(bought.T @ bought)
        (row, column), together = common.coords, common.data
        other = row != column
        row, column, together = row[other], column[other], together[other]
        degree = np.asarray(bought.sum(axis=0))
        cosine = together / (np.sqrt(degree[row] * degree[column]) + self.shrink)
        if self.k is not None:
            kept = largest(column, row, cosine, self.k)
            row, column, cosine = row[kept], column[kept], cosine[kept]
        return LinearBaseline(
            name, csr_array((cosine, (row, column)), shape=common.shape), interaction_matrix
        )


def largest(
    group: npt.NDArray[np.integer[Any]],
    member: npt.NDArray[np.integer[Any]],
    value: npt.NDArray[np.floating[Any]],
    k: int,
) -> npt.NDArray[np.int64]:
    """Return the places of the `k` largest values of each group; ties go to the lower member.

    Args:
        group: ``[n]`` not negative.
        member: ``[n]``.
        value: ``[n]``.
        k: At most so many of each group.
    """
    order = np.lexsort((member, -value, group))
    count = np.bincount(group)
    first = np.cumsum(count) - count
    place = np.arange(len(order)) - first[group[order]]
    kept: npt.NDArray[np.int64] = order[place < k]
    return kept


Window = Annotated[int, Field(ge=1)]
Weight = Annotated[float, Field(ge=0)]


def transition_matrix(
    graph: Graph,
    relation: str,
    *,
    window: int = 5,
    backward: float = 0.5,
    source_power: float = 0.5,
    target_power: float = 0.3,
) -> Sparse:
    """Return the weights of transitions between candidates: ``W = D^−a C D^−b``.

    ``C[i, j]`` sums ``1/d`` over all places where *j* comes *d* ≤ `window` events after *i* in
    some history, and ``backward/d`` where it comes before; ``D`` counts interactions.

    Args:
        graph: The graph of the histories.
        relation: A timed relation.
        window: Largest distance.
        backward: Weight of transitions in reverse order.
        source_power: *a*, how much popular origins are damped.
        target_power: *b*, how much popular destinations are damped.

    Returns:
        float32 ``[V, V]``, row = origin.
    """
    read = sequences(graph, relation)
    size = read.shape[1]
    popularity = np.bincount(read.item, minlength=size)
    counts: Sparse = transition_counts(read, window)
    counts = (counts + backward * counts.T).tocsr()
    popular = np.maximum(popularity, 1).astype(np.float64)  # rows without events are empty anyway
    left, right = diags_array(popular**-source_power), diags_array(popular**-target_power)
    return csr_array(left @ counts @ right).astype(np.float32)


def recent(graph: Graph, relation: str, *, last: int, decay: float) -> Sparse:
    """Return the last events of each source, weighted ``decay ** age``: ``[sources, V]``."""
    read = sequences(graph, relation)
    kept = read.age < last
    weight = (decay ** read.age[kept]).astype(np.float32)
    place = read.source[kept], read.item[kept]
    return coo_array((weight, place), shape=read.shape).tocsr()  # repeats add up


@baseline("transition_knn")
class TransitionKNN:
    """Neighbours of the last events in a decayed graph of transitions.

    Score = ``Σ_age decay^age · W[item at that age]`` with W of :func:`transition_matrix`. The
    same idea as "An Embarrassingly Simple Graph Heuristic" (arXiv 2605.07125), with pairs at
    several distances.

    Args:
        window: Largest distance of two events that count as a transition.
        backward: Weight of a transition read the other way.
        source_power: Damping of popular origins.
        target_power: Damping of popular destinations.
        last: Number of the latest events that are used.
        decay: Weight of an event relative to the next later one.
    """

    window: Window = 5
    backward: Weight = 0.5
    source_power: Weight = 0.5
    target_power: Weight = 0.3
    last: Window = 10
    decay: Annotated[float, Field(gt=0, le=1)] = 0.7

    def fit(self, graph: Graph, relation: str | None = None) -> LinearBaseline:
        """Count the transitions."""
        name = predicted_relation(graph, relation, timed=True)
        weights = transition_matrix(
            graph,
            name,
            window=self.window,
            backward=self.backward,
            source_power=self.source_power,
            target_power=self.target_power,
        )
        return LinearBaseline(name, weights, partial(recent, last=self.last, decay=self.decay))


LARGEST = 40_000
"""Largest catalogue of EASE: beyond it the dense inverse (6.4 GB a copy) may not fit in memory."""


@baseline("ease")
class EASE:
    """Linear autoencoder without self-loops: ``B = I − P diag(P)⁻¹``, ``P = (XᵀX + λI)⁻¹``.

    Steck, "Embarrassingly Shallow Autoencoders for Sparse Data", WWW 2019.

    Args:
        l2: λ; larger for denser data.
    """

    l2: Annotated[float, Field(gt=0)] = 500.0

    def fit(self, graph: Graph, relation: str | None = None) -> LinearBaseline:
        """Invert the item-item Gram matrix.

        Raises:
            GraphRecError: For catalogues above :data:`LARGEST`.
        """
        name = predicted_relation(graph, relation)
        bought = interaction_matrix(graph, name)
        size = bought.shape[1]
        if size > LARGEST:
            raise GraphRecError("ease", f"at most {LARGEST} candidates", size, "item_knn")
        gram = torch.from_numpy((bought.T @ bought).toarray())
        gram.diagonal().add_(self.l2)
        inverse = torch.cholesky_inverse(torch.linalg.cholesky(gram))
        weights = inverse.div_(-inverse.diagonal().clone())  # column j over −P_jj
        weights.fill_diagonal_(0)
        # LAPACK returns a column-major matrix; without this, every query would copy it.
        return LinearBaseline(
            name, np.ascontiguousarray(weights.numpy(), np.float32), interaction_matrix
        )

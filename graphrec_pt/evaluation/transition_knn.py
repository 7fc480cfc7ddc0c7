"""Neighbours in a decayed graph of transitions: no training, very strong."""

from functools import partial
from typing import Annotated

import numpy as np
from pydantic import Field
from scipy.sparse import coo_array, csr_array, diags_array

from graphrec_pt.evaluation.baseline import Linear, Sparse, baseline, predicted_relation
from graphrec_pt.graph.graph import Graph
from graphrec_pt.graph.sequences import sequences, transition_counts

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
    """Return how strongly each candidate leads to each other: ``W = D^−a C D^−b``.

    ``C[i, j]`` sums ``1/d`` over all places where *j* comes *d* ≤ `window` events after *i* in
    some history, and ``backward/d`` where it comes before; ``D`` counts interactions.

    Args:
        graph: Whose histories are read.
        relation: A timed relation.
        window: Largest distance.
        backward: Weight of the way back.
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
        last: How many of the latest events are asked.
        decay: Weight of an event relative to the next later one.
    """

    window: Window = 5
    backward: Weight = 0.5
    source_power: Weight = 0.5
    target_power: Weight = 0.3
    last: Window = 10
    decay: Annotated[float, Field(gt=0, le=1)] = 0.7

    def fit(self, graph: Graph, relation: str | None = None) -> Linear:
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
        return Linear(name, weights, partial(recent, last=self.last, decay=self.decay))

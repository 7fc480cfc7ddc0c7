"""First-order Markov chain: what came right after the last event."""

from functools import partial

import numpy as np

from graphrec_pt.evaluation.baseline import Linear, baseline, predicted_relation
from graphrec_pt.evaluation.transition_knn import recent, transition_matrix
from graphrec_pt.graph.graph import Graph
from graphrec_pt.graph.sequences import sequences


@baseline("markov")
class Markov:
    """Score = how often a candidate came right after the last event, then its popularity.

    Most successors were met once and most candidates never, so counts alone leave nearly all of
    the catalogue tied. Popularity enters as a share below 1: it never outweighs a transition.
    """

    def fit(self, graph: Graph, relation: str | None = None) -> Linear:
        """Count the successors."""
        name = predicted_relation(graph, relation, timed=True)
        weights = transition_matrix(
            graph, name, window=1, backward=0, source_power=0, target_power=0
        )
        read = sequences(graph, name)
        popular = np.bincount(read.item, minlength=read.shape[1]) / (len(read.item) + 1)
        query = partial(recent, last=1, decay=1.0)
        return Linear(name, weights, query, popular.astype(np.float32))

"""Popularity: everybody is recommended what most have."""

from dataclasses import dataclass

import torch
from torch import Tensor

from graphrec_pt.evaluation.baseline import baseline, predicted_relation
from graphrec_pt.graph.graph import Graph


@dataclass(frozen=True, eq=False)
class Constant:
    """The same scores for everybody.

    Args:
        score: float32 ``[V]``.
    """

    score: Tensor

    def on(self, history: Graph) -> "Constant":
        """Return itself: no history matters."""
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

"""Vectors smoothed over the graph of one relation, such as which item follows which."""

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from graphrec_pt.core.errors import GraphRecError, did_you_mean
from graphrec_pt.features.gnn.network import GraphNetwork
from graphrec_pt.features.gnn.symmetric import Adjacency, normalised, polynomial
from graphrec_pt.features.propagation import propagation
from graphrec_pt.graph.graph import Graph
from graphrec_pt.graph.outline import Outline


@propagation("transition")
class TransitionPropagation:
    """``mean_{k ≤ K} Â^k x``, or ``Â^K x``, over the weighted edges of one relation.

    ``Â = D^{-1/2} (E + Eᵀ) D^{-1/2}``, as LightGCN (He et al., SIGIR 2020) on the graph of item
    transitions. Nodes that the relation does not touch keep their vectors. There are no weights
    to learn.

    Args:
        relation: Its name; the derivation ``transition`` makes ``followed_by``.
        hops: K.
        pool: ``"mean"`` of all hops, the vectors themselves included, or the ``"last"``.
        only: Node type whose vectors change; both ends of the relation by default.
    """

    relation: str = "followed_by"
    hops: int = Field(1, ge=1)
    pool: Literal["mean", "last"] = "mean"
    only: str | None = None

    def build(self, outline: Outline, width: int) -> "TransitionPropagator":
        """Return the network."""
        return TransitionPropagator(self, outline, width)


class TransitionPropagator(GraphNetwork):
    """The network of :class:`TransitionPropagation`.

    Args:
        config: Its options.
        outline: Of the graph.
        width: D.
    """

    ptr: Tensor
    indices: Tensor
    values: Tensor

    def __init__(self, config: TransitionPropagation, outline: Outline, width: int) -> None:
        super().__init__("transition", outline, width)
        self.relation = config.relation
        found = outline.relations[outline.relation_index(config.relation)]
        ends = sorted({found.source, found.target}, key=outline.node_index)
        if config.only is not None and config.only not in ends:
            expected = f"a node type that {found.name!r} touches"
            hint = did_you_mean(config.only, ends)
            raise GraphRecError("transition", expected, repr(config.only), hint)
        # Ids of types between the two ends are isolated here, so they stay what they are.
        self.within = range(outline.ids(ends[0]).start, outline.ids(ends[-1]).stop)
        self.changed = self.within if config.only is None else outline.ids(config.only)
        if config.pool == "mean":
            self.coefficients = [1 / (config.hops + 1)] * (config.hops + 1)
        else:
            self.coefficients = [0.0] * config.hops + [1.0]

    def read(self, graph: Graph) -> None:
        """Keep Â of the types that the relation touches."""
        found = normalised(self.who, graph, [self.relation], self.within, weighted=True, lone=1.0)
        self.keep(**found._asdict())

    def mix(self, x: Tensor) -> Tensor:
        """Return the vectors with those of the changed nodes smoothed: ``[N, D]``."""
        adjacency = Adjacency(self.ptr, self.indices, self.values)
        first, start, stop = self.within.start, self.changed.start, self.changed.stop
        own = x[first : self.within.stop]  # [n, D]
        smooth = polynomial(adjacency, self.coefficients, own)[start - first : stop - first]
        if len(smooth) == len(x):
            return smooth
        return torch.cat([x[:start], smooth, x[stop:]])

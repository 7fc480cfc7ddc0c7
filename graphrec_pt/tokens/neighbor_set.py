"""A node and its best neighbours, by rank."""

from dataclasses import replace

import torch
from pydantic import Field

from graphrec_pt.core.key import Key
from graphrec_pt.graph.graph import Graph
from graphrec_pt.sampling.sample import Subgraphs
from graphrec_pt.tokens.kind import Kind
from graphrec_pt.tokens.linearizer import Linearizer, Makes, check_sample, linearizer, makes
from graphrec_pt.tokens.node_tokens import node_tokens, sorted_by
from graphrec_pt.tokens.tokens import Tokens


@linearizer("neighbor_set")
class NeighborSet(Linearizer):
    """Target first, then contexts by falling score: the input of PMGT (Liu et al., ACM MM 2021).

    `position` is the rank (0 for the target) and `hop` tells the target's role (0) from the
    contexts'. A parent may stand further back than its child, or be missing, since rank rules.

    Args:
        size: Contexts at most, the best ones; all by default.
    """

    size: int | None = Field(None, ge=1)

    @property
    def makes(self) -> Makes:
        """Nodes; edges when the sampler returns them."""
        return makes([Kind.NODE], "slot", "hop", "parent", "relation", "time", "edges")

    def linearize(self, graph: Graph, sample: Subgraphs, key: Key) -> Tokens:
        """Return B sequences of at most ``size`` contexts after the roots."""
        sample = check_sample("neighbor_set", sample, Subgraphs)
        tokens = node_tokens(graph, sample)
        context = (tokens.hop != 0).long()
        order = sorted_by(tokens, context, torch.where(context > 0, -sample.score, 0.0))
        if self.size is not None:
            roots = torch.zeros_like(tokens.ptr[1:])
            roots = roots.index_add_(0, tokens.sequence_of(), 1 - context)
            rank = tokens.places() - roots[tokens.sequence_of()]  # of the sorted order
            order = order[rank < self.size]
        taken = tokens.take(order)
        return replace(taken, position=taken.places())

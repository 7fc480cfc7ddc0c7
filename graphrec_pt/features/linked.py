"""The vector of a node from its neighbours, such as an item's from its attributes."""

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.features.featurizer import Feature, Vectors, featurizer
from graphrec_pt.graph.graph import Graph
from graphrec_pt.graph.spec import GraphSpec
from graphrec_pt.kernels.torch.segments import ranges


@featurizer("linked")
class Linked:
    """The mean or the sum of the vectors of a node's neighbours, ``1/n Σ_a e_a``.

    Items are represented by their attributes, as in FDSA and S3-Rec's attribute sequences (Zhou et
    al., CIKM 2020): items with the same attributes have the same vector, also items without
    interactions. All neighbours in the attached graph are used, so name relations that are facts:
    an interaction relation that training predicts would leak the target into the input.

    Args:
        relations: Relations that leave the node type; their neighbours are pooled together.
        how: How the vectors of the neighbours are pooled.
    """

    relations: tuple[str, ...] = Field(min_length=1)
    how: Literal["mean", "sum"] = "mean"

    def build(self, spec: GraphSpec, node_type: str, width: int) -> "LinkedFeature":
        """Return the feature, which has no weights."""
        leaving = {relation.name for relation in spec.relations if relation.source == node_type}
        for name in self.relations:
            spec.relation_index(name)
            if name not in leaving:
                expected = f"relations that leave {node_type!r}"
                hint = ", ".join(sorted(leaving))
                raise GraphRecError("linked", expected, repr(name), hint and f"one of {hint}")
        return LinkedFeature(self, width)


class LinkedFeature(Feature):
    """The neighbours of every node, packed; a node without any has zeros.

    Args:
        config: Its options.
        width: D.
    """

    looks_up = True  # at other nodes: composition breaks the cycles

    start: Tensor
    neighbor: Tensor

    def __init__(self, config: Linked, width: int) -> None:
        super().__init__()
        self.config, self.width = config, width
        self.register_buffer("start", torch.zeros(1, dtype=torch.int64), persistent=False)
        self.register_buffer("neighbor", torch.zeros(0, dtype=torch.int64), persistent=False)

    def attach_graph(self, graph: Graph) -> None:
        """Read the neighbours."""
        edges = [graph.edges(name) for name in self.config.relations]
        first = graph.nodes(graph.schema.relation(self.config.relations[0]).source)
        source = torch.cat([part.source for part in edges]) - first.start
        order = torch.argsort(source, stable=True)
        count = torch.bincount(source, minlength=len(first))
        device = self.start.device
        self.start = torch.cat([count.new_zeros(1), count.cumsum(0)]).to(device)
        self.neighbor = torch.cat([part.target for part in edges])[order].to(device)

    def forward(self, nodes: Tensor, vectors: Vectors) -> Tensor:
        """Return ``[n, D]``."""
        first, count = self.start[nodes], self.start[nodes + 1] - self.start[nodes]
        place, owner = ranges(first, count)
        others, which = torch.unique(self.neighbor[place], return_inverse=True)
        gathered = vectors(others)[which]  # [M, D]
        total = gathered.new_zeros(len(nodes), self.width).index_add(0, owner, gathered)
        if self.config.how == "sum":
            return total
        return total / count.clamp(min=1).unsqueeze(1)

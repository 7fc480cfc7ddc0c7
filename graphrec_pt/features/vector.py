"""Precomputed vectors of nodes, such as image or text embeddings."""

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.features.columns import one_column_of, read_column, vectors_of
from graphrec_pt.features.featurizer import Feature, Vectors, featurizer
from graphrec_pt.features.projection import Map, projection
from graphrec_pt.graph.graph import Graph
from graphrec_pt.graph.spec import GraphSpec


@featurizer("vector")
class Vector:
    """A vector column, mapped to the width of the model.

    Args:
        column: Column to read; the only vector column of the type by default.
        map: To the width D; see :func:`~graphrec_pt.features.projection.projection`.
        unit: Scale the vectors to length 1 first.
    """

    column: str | None = None
    map: Map = "linear"
    unit: bool = False

    def build(self, spec: GraphSpec, node_type: str, width: int) -> "VectorFeature":
        """Return the map."""
        name = one_column_of(spec, node_type, ["vector"], self.column, "vector")
        inputs = spec.widths.get(node_type, {}).get(name, 0)
        if not inputs:
            raise GraphRecError("vector", f"vectors of one length in {name!r}", "none")
        return VectorFeature(node_type, name, inputs, width, self.map, self.unit)


class GivenFeature(Feature):
    """Vectors given from outside, mapped; a node without one has a learned vector.

    Args:
        inputs: F.
        width: D.
        map: From F to D.
        unit: Whether the given vectors are put on the unit sphere.
    """

    given: Tensor
    absent: Tensor

    def __init__(self, inputs: int, width: int, map: Map, unit: bool) -> None:
        super().__init__()
        self.inputs, self.unit = inputs, unit
        self.map, self.missing = projection(map, inputs, width), nn.Embedding(1, width)
        self.register_buffer("given", torch.zeros(0, inputs), persistent=False)
        self.register_buffer("absent", torch.zeros(0, dtype=torch.bool), persistent=False)

    @property
    def device(self) -> torch.device:
        """The device of the weights."""
        return self.missing.weight.device

    def placed(self, given: Tensor) -> Tensor:
        """Return the given vectors on the device and in the precision of the weights."""
        return given.to(self.missing.weight)

    def look(self, nodes: Tensor) -> Tensor:
        """Return the given vectors of nodes: ``[n, F]``, undefined where missing."""
        return self.given[nodes]

    def forward(self, nodes: Tensor, vectors: Vectors) -> Tensor:
        """Return ``[n, D]``."""
        given = self.look(nodes)
        mapped: Tensor = self.map(normalize(given) if self.unit else given)
        return torch.where(self.absent[nodes].unsqueeze(1), self.missing.weight, mapped)


class VectorFeature(GivenFeature):
    """Mapped vectors of a column.

    Args:
        node_type: Type of its nodes.
        column: Column of the vectors.
        inputs: F.
        width: D.
        map: From F to D.
        unit: Whether the vectors are put on the unit sphere.
    """

    def __init__(
        self, node_type: str, column: str, inputs: int, width: int, map: Map, unit: bool
    ) -> None:
        super().__init__(inputs, width, map, unit)
        self.node_type, self.column = node_type, column

    def attach_graph(self, graph: Graph) -> None:
        """Read the vectors ``[n, F]``."""
        read = read_column(graph, self.node_type, self.column, "vector")
        given, absent = vectors_of(read, self.inputs, "vector")
        self.given, self.absent = self.placed(given), absent.to(self.device)

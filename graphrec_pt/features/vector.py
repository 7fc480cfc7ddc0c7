"""Precomputed vectors of nodes, such as image or text embeddings, and their learned projection."""

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize, softplus

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.features.columns import one_column_of, read_column, vectors_of
from graphrec_pt.features.featurizer import Feature, Vectors, featurizer
from graphrec_pt.graph.graph import Graph
from graphrec_pt.graph.spec import GraphSpec

Map = Literal["linear", "mlp", "whitening", "experts"]
EXPERTS = 8  # of UniSRec


def projection(kind: Map, inputs: int, width: int) -> nn.Module:
    """Return a module from ``[n, F]`` to ``[n, D]``.

    Args:
        kind: ``"linear"``; ``"mlp"``, two layers with GELU; ``"whitening"``, ``(x − b) W``;
            ``"experts"``, eight of them gated (UniSRec, Hou et al., KDD 2022).
        inputs: F.
        width: D.
    """
    if kind == "linear":
        return nn.Linear(inputs, width)
    if kind == "mlp":
        return nn.Sequential(nn.Linear(inputs, width), nn.GELU(), nn.Linear(width, width))
    return Whitening(inputs, width) if kind == "whitening" else Experts(inputs, width)


class Whitening(nn.Module):
    """Parametric whitening: ``(x − b) W``, which takes out a common direction of text vectors.

    Args:
        inputs: F.
        width: D.
    """

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        self.center = nn.Parameter(torch.zeros(inputs))
        self.map = nn.Linear(inputs, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return ``[n, D]`` for ``[n, F]``."""
        mapped: Tensor = self.map(x - self.center)
        return mapped


class Experts(nn.Module):
    """Mixture of whitenings: ``Σ_k g_k (x − b_k) W_k`` with ``g = softmax(x W_g + ε ⊙ s(x W_s))``.

    ε is normal noise in training and 0 else, s is softplus: noisy gates (Shazeer et al.,
    "Outrageously large neural networks", ICLR 2017), so that no expert is left unused.

    Args:
        inputs: F.
        width: D.
    """

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        self.experts = nn.ModuleList(Whitening(inputs, width) for _ in range(EXPERTS))
        self.gate = nn.Linear(inputs, EXPERTS, bias=False)
        self.noise = nn.Linear(inputs, EXPERTS, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return ``[n, D]`` for ``[n, F]``."""
        logits = self.gate(x)
        if self.training:
            logits = logits + torch.randn_like(logits) * softplus(self.noise(x))
        share: Tensor = logits.softmax(1).unsqueeze(2)  # [n, K, 1]
        mapped = torch.stack([expert(x) for expert in self.experts], dim=1)  # [n, K, D]
        return (share * mapped).sum(1)


@featurizer("vector")
class Vector:
    """A vector column, mapped to the width of the model.

    Args:
        column: Column to read; the only vector column of the type by default.
        map: To the width D; see :func:`~graphrec_pt.features.vector.projection`.
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

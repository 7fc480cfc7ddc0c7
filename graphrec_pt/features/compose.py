"""Several features of a node made one: sum, linear map of all, or a gated sum."""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.features.featurizer import Feature, Featurizer, Vectors
from graphrec_pt.features.identity import IdentityFeature
from graphrec_pt.graph.graph import Graph
from graphrec_pt.graph.outline import Outline

Composition = Literal["sum", "concat", "gate"]


class Composed(nn.Module):
    """The features of one node type, composed.

    With features ``f_1 … f_k``: sum ``Σ f_i``; concat ``W [f_1; …; f_k]``; gate
    ``Σ a_i f_i`` with ``a = softmax_i(w · tanh(f_i))`` as in PMGT (Liu et al., ACM MM 2021).

    Args:
        configs: Of the features.
        outline: Of the graph.
        node_type: Whose nodes.
        width: D.
        compose: How several features become one vector.
        id_dropout: Share of nodes whose id feature is left out in training.
    """

    def __init__(
        self,
        configs: Sequence[Featurizer],
        outline: Outline,
        node_type: str,
        width: int,
        *,
        compose: Composition = "sum",
        id_dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if not configs:
            raise GraphRecError("features", f"at least one feature of {node_type!r}", "none", "id")
        self.compose, self.id_dropout = compose, id_dropout
        self.parts = nn.ModuleList(each.build(outline, node_type, width) for each in configs)
        several = len(configs) > 1
        self.joint = (
            nn.Linear(len(configs) * width, width) if several and compose == "concat" else None
        )
        self.gate = nn.Linear(width, 1, bias=False) if several and compose == "gate" else None
        # Knows where the module is, also when no feature has weights.
        self.register_buffer("anchor", torch.zeros(0), persistent=False)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.get_buffer("anchor").device

    def bind(self, graph: Graph) -> None:
        """Read columns and edges of a graph."""
        for part in self.parts:
            assert isinstance(part, Feature)
            part.bind(graph)

    def forward(self, nodes: Tensor, vectors: Vectors, plain: bool) -> Tensor:
        """Return ``[n, D]`` in the precision of the weights, also where maps run in a lower one.

        Args:
            nodes: int64 ``[n]``, numbered inside the type.
            vectors: Looks up other nodes.
            plain: Leave out (as zeros) the features that look up other nodes.
        """
        return self._composed(nodes, vectors, plain).to(self.get_buffer("anchor").dtype)

    def _composed(self, nodes: Tensor, vectors: Vectors, plain: bool) -> Tensor:
        found = [self._one(part, nodes, vectors, plain) for part in self.parts]
        if len(found) == 1:
            return found[0]
        if self.joint is not None:
            joint: Tensor = self.joint(torch.cat(found, dim=1))
            return joint
        stacked = torch.stack(found, dim=1)  # [n, k, D]
        if self.gate is not None:
            stacked = stacked * self.gate(stacked.tanh()).softmax(dim=1)
        return stacked.sum(1)

    def _one(self, part: nn.Module, nodes: Tensor, vectors: Vectors, plain: bool) -> Tensor:
        if plain and getattr(part, "looks_up", False):
            some = vectors(nodes[:0])
            return some.new_zeros(len(nodes), some.shape[1])
        found: Tensor = part(nodes, vectors)
        if self.training and self.id_dropout and isinstance(part, IdentityFeature):
            kept = torch.rand(len(nodes), 1, device=found.device) >= self.id_dropout
            found = found * kept
        return found

"""CompGCN: relations have vectors too, and are composed with those of the sender."""

from typing import Literal, cast

import polars as pl
import torch
from pydantic import Field
from torch import Generator, Tensor, nn

from graphrec_pt.features.featurizer import propagation
from graphrec_pt.features.gnn.messages import (
    Activation,
    Incoming,
    RelationalNetwork,
    activate,
    glorot,
    messages,
)
from graphrec_pt.graph.graph import Graph
from graphrec_pt.graph.spec import GraphSpec
from graphrec_pt.kernels.sparse import owners, spmm


@propagation("compgcn")
class CompGCN:
    """Composition-based graph convolution (Vashishth et al., ICLR 2020).

    ``x_i ← f(⅓ (Σ_{(j, r) → i} c_ij φ(x_j, z_r) W_{dir(r)} + φ(x_i, z_loop) W_loop) + b)`` and
    ``z_r ← z_r W_rel``, where φ subtracts or multiplies, dir(r) tells relations from their
    inverses, and ``c_ij = 1 / √(d_j d_i)`` counts the edges of that direction which leave j and
    enter i. Batch normalisation of the original is left out.

    Args:
        layers: Rounds of messages.
        compose: φ: ``"sub"`` as TransE or ``"mult"`` as DistMult.
        relations: Names; all by default.
        activation: f, after every layer.
    """

    layers: int = Field(1, ge=1)
    compose: Literal["sub", "mult"] = "sub"
    relations: list[str] | None = None
    activation: Activation = "tanh"

    def build(self, spec: GraphSpec, width: int) -> "CompGCNPropagator":
        """Return the network."""
        return CompGCNPropagator(self, spec, width)


class CompGCNLayer(nn.Module):
    """The weights of one round.

    Args:
        width: D.
        last: Whether this is the last layer, which does not update the vectors of relations.
    """

    def __init__(self, width: int, last: bool) -> None:
        super().__init__()
        self.direction = nn.Parameter(torch.zeros(3, width, width))  # forward, backward, loop
        self.relation = None if last else nn.Parameter(torch.zeros(width, width))
        self.bias = nn.Parameter(torch.zeros(width))

    def initialise(self, draw: Generator) -> None:
        """Fill the matrices (Glorot)."""
        glorot(self.direction, draw)
        if self.relation is not None:
            glorot(self.relation, draw)


class CompGCNPropagator(RelationalNetwork):
    """The network of :class:`CompGCN`.

    Args:
        config: Its options.
        spec: Of the graph.
        width: D.
    """

    share: Tensor

    def __init__(self, config: CompGCN, spec: GraphSpec, width: int) -> None:
        super().__init__("compgcn", spec, width, config.relations)
        self.config = config
        relations = [spec.relations[spec.relation_index(name)] for name in self.relations]
        self.backward_relation = [relation.backward for relation in relations]
        self.vectors = nn.Parameter(torch.zeros(len(relations) + 1, width))  # the last is the loop
        self.layers = nn.ModuleList(
            CompGCNLayer(width, number == config.layers) for number in range(1, config.layers + 1)
        )

    def initialise(self, draw: Generator) -> None:
        """Fill the vectors of relations (Glorot)."""
        glorot(self.vectors, draw)

    def row_names(self) -> dict[str, pl.Series]:
        """Return the relation of each vector; the last one belongs to the loop."""
        return {"vectors": pl.Series([*self.relations, ""])}

    def read(self, graph: Graph) -> None:
        """Keep the messages, and the weight of each edge."""
        edges = messages(graph, self.relations)
        direction = torch.tensor(self.backward_relation).long()[edges.relation]
        self.keep_messages(edges, edges.incoming)
        self.keep(share=_shares(edges.incoming, edges.node, direction))

    def mix(self, x: Tensor) -> Tensor:
        """Return the vectors after all layers: ``[N, D]``."""
        vectors: Tensor = self.vectors
        for module in self.layers:
            layer = cast(CompGCNLayer, module)
            x = activate(self._round(layer, x, vectors), self.config.activation)
            vectors = vectors if layer.relation is None else vectors @ layer.relation
        return x

    def _round(self, layer: CompGCNLayer, x: Tensor, vectors: Tensor) -> Tensor:
        made = [
            self._composed(rows, vectors[place]) @ layer.direction[int(backward)]
            for place, (rows, backward) in enumerate(
                zip(self.sent(x), self.backward_relation, strict=True)
            )
        ]
        received = spmm(self.ptr, self.column, self.share, torch.cat(made))  # [N, D]
        loop = self._composed(x, vectors[-1]) @ layer.direction[2]
        return (received + loop) / 3 + layer.bias

    def _composed(self, rows: Tensor, vector: Tensor) -> Tensor:
        return rows - vector if self.config.compose == "sub" else rows * vector


def _shares(edges: Incoming, node: Tensor, direction: Tensor) -> Tensor:
    """Return ``1 / √(d_j d_i)`` of each edge, degrees counted in its direction: ``[E]``."""
    source, target = node[edges.column].long(), owners(edges.ptr, len(direction))
    product = torch.ones(len(direction))
    for end in (source, target):
        place = end * 2 + direction
        product *= torch.bincount(place, minlength=1)[place]
    return product.rsqrt()

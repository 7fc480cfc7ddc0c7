"""R-GCN: a linear map for every relation."""

from typing import cast

import polars as pl
import torch
from pydantic import Field
from torch import Generator, Tensor, nn

from graphrec_pt.features.featurizer import propagation
from graphrec_pt.features.gnn.messages import (
    Activation,
    RelationalNetwork,
    activate,
    counts,
    glorot,
    messages,
)
from graphrec_pt.graph.graph import Graph
from graphrec_pt.graph.spec import GraphSpec
from graphrec_pt.kernels.sparse import spmm


@propagation("rgcn")
class RGCN:
    """Relational graph convolution (Schlichtkrull et al., ESWC 2018).

    ``x_i ← x_i W_0 + Σ_r Σ_{j ∈ N_r(i)} x_j W_r / |N_r(i)| + b`` with, for B bases,
    ``W_r = Σ_b a_rb V_b``. Messages travel from the source of a relation to its target.

    Args:
        layers: Rounds of messages.
        bases: B; 0 for a matrix of its own for each relation.
        relations: Names; all by default.
        activation: Between layers.
        residual: Whether each layer adds its input, as in UniCRS (Wang et al., KDD 2022).
    """

    layers: int = Field(1, ge=1)
    bases: int = Field(0, ge=0)
    relations: list[str] | None = None
    activation: Activation = "relu"
    residual: bool = False

    def build(self, spec: GraphSpec, width: int) -> "RGCNPropagator":
        """Return the network."""
        return RGCNPropagator(self, spec, width)


class RGCNLayer(nn.Module):
    """One round of messages.

    Args:
        relations: R.
        width: D.
        bases: B, or 0.
    """

    def __init__(self, relations: int, width: int, bases: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(bases or relations, width, width))
        self.mixture = nn.Parameter(torch.zeros(relations, bases)) if bases else None
        self.root = nn.Parameter(torch.zeros(width, width))
        self.bias = nn.Parameter(torch.zeros(width))

    def initialise(self, draw: Generator) -> None:
        """Fill the matrices (Glorot)."""
        for weight in (self.weight, self.mixture, self.root):
            if weight is not None:
                glorot(weight, draw)

    def weights(self) -> Tensor:
        """Return the matrix of each relation: ``[R, D, D]``."""
        if self.mixture is None:
            return self.weight
        return torch.einsum("rb,bij->rij", self.mixture, self.weight)


class RGCNPropagator(RelationalNetwork):
    """The network of :class:`RGCN`.

    Args:
        config: Its options.
        spec: Of the graph.
        width: D.
    """

    share: Tensor

    def __init__(self, config: RGCN, spec: GraphSpec, width: int) -> None:
        super().__init__("rgcn", spec, width, config.relations)
        self.config = config
        self.layers = nn.ModuleList(
            RGCNLayer(len(self.relations), width, config.bases) for _ in range(config.layers)
        )

    def row_names(self) -> dict[str, pl.Series]:
        """Return the relation of each matrix, or of each row of the mixture."""
        weight, names = "mixture" if self.config.bases else "weight", pl.Series(self.relations)
        return {f"layers.{number}.{weight}": names for number in range(len(self.layers))}

    def read(self, graph: Graph) -> None:
        """Keep the messages, and the share of each edge in the mean of its relation."""
        edges = messages(graph, self.relations)
        self.keep_messages(edges, edges.incoming)
        self.keep(share=1 / counts(edges))

    def mix(self, x: Tensor) -> Tensor:
        """Return the vectors after all layers: ``[N, D]``."""
        for number, layer in enumerate(self.layers):
            before = activate(x, self.config.activation) if number else x
            x = self._round(cast(RGCNLayer, layer), before)
            x = x + before if self.config.residual else x
        return x

    def _round(self, layer: RGCNLayer, x: Tensor) -> Tensor:
        pairs = zip(self.sent(x), layer.weights(), strict=True)
        made = torch.cat([rows @ weight for rows, weight in pairs])  # [M, D]
        received = spmm(self.ptr, self.column, self.share, made)  # [N, D]
        return received + x @ layer.root + layer.bias

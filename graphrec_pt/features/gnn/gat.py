"""GAT: attention of a node over its neighbours."""

from typing import cast

import torch
from pydantic import Field
from torch import Generator, Tensor, nn

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.features.featurizer import propagation
from graphrec_pt.features.gnn.messages import (
    Activation,
    GraphNetwork,
    activate,
    by_head,
    chosen,
    glorot,
    incoming,
)
from graphrec_pt.graph.graph import Graph
from graphrec_pt.graph.spec import GraphSpec
from graphrec_pt.kernels.sparse import sddmm, segment_softmax, spmm


@propagation("gat")
class GAT:
    """Graph attention over neighbours and oneself (Veličković et al., ICLR 2018).

    Per head: ``x_i ← Σ_j α_ij W x_j + b`` with
    ``α_ij = softmax_j LeakyReLU_0.2(a · W x_j + a' · W x_i)``; heads stand side by side. Messages
    travel from the source of a relation to its target, whatever the relation.

    Ontologies as in G-BERT (Shang et al., IJCAI 2019) take two stages of one layer: parents receive
    from their children, then leaves from their ancestors; `shared` ties the weights of the two.

    Args:
        layers: Rounds of messages, one for each of `stages` if these are given.
        heads: H, a divisor of the width.
        relations: Names; all by default.
        stages: The relations of each layer, instead of `layers` and `relations`.
        shared: Whether all layers have the same weights.
        activation: Between layers.
    """

    layers: int = Field(1, ge=1)
    heads: int = Field(4, ge=1)
    relations: list[str] | None = None
    stages: list[list[str]] | None = None
    shared: bool = False
    activation: Activation = "elu"

    def __post_init__(self) -> None:
        if self.stages is not None and (self.relations is not None or self.layers != 1):
            got = "stages beside layers or relations"
            raise GraphRecError("gat", "either stages, or layers and relations", got)
        if self.stages is not None and not self.stages:
            raise GraphRecError("gat", "at least one stage", "none")

    def build(self, spec: GraphSpec, width: int) -> "GATPropagator":
        """Return the network."""
        return GATPropagator(self, spec, width)


class GATLayer(nn.Module):
    """One round of messages over any edges.

    Args:
        width: D.
        heads: H.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.weight = nn.Parameter(torch.zeros(width, width))
        self.sender = nn.Parameter(torch.zeros(heads, width // heads))
        self.receiver = nn.Parameter(torch.zeros(heads, width // heads))
        self.bias = nn.Parameter(torch.zeros(width))

    def initialise(self, draw: Generator) -> None:
        """Fill the matrices (Glorot)."""
        for weight in (self.weight, self.sender, self.receiver):
            glorot(weight, draw)

    def forward(self, x: Tensor, ptr: Tensor, column: Tensor) -> Tensor:
        """Return ``[N, D]`` for ``[N, D]`` along edges by head."""
        apart = (x @ self.weight).view(len(x), self.heads, -1)  # [N, H, C]
        rows = apart.view(len(x) * self.heads, -1)  # [N · H, C]
        sent = (apart * self.sender).sum(-1).view(-1, 1)  # [N · H, 1]
        received = (apart * self.receiver).sum(-1).view(-1, 1)
        one = torch.ones_like(sent)
        # (received_i, 1) · (1, sent_j) is their sum, without a copy for every edge going back.
        scores = sddmm(ptr, column, torch.cat([received, one], 1), torch.cat([one, sent], 1))
        share = segment_softmax(ptr, nn.functional.leaky_relu(scores, 0.2))  # [E · H]
        return spmm(ptr, column, share, rows).view(x.shape) + self.bias


class GATPropagator(GraphNetwork):
    """The network of :class:`GAT`.

    Args:
        config: Its options.
        spec: Of the graph.
        width: D.

    Raises:
        GraphRecError: When the heads do not divide the width.
    """

    def __init__(self, config: GAT, spec: GraphSpec, width: int) -> None:
        super().__init__("gat", spec, width)
        if width % config.heads:
            raise GraphRecError("gat", f"heads that divide the width {width}", config.heads)
        self.config = config
        if config.stages is None:
            self.stages = [chosen("gat", spec, config.relations)]
            self.rounds = [0] * config.layers
        else:
            self.stages = [chosen("gat", spec, names) for names in config.stages]
            self.rounds = list(range(len(self.stages)))
        several = 1 if config.shared else len(self.rounds)
        self.layers = nn.ModuleList(GATLayer(width, config.heads) for _ in range(several))

    def read(self, graph: Graph) -> None:
        """Keep the edges of each stage by head, with one loop at every node."""
        loop = torch.arange(graph.num_nodes())
        for stage, names in enumerate(self.stages):
            edges = [graph.edges(name) for name in names]
            source = torch.cat([part.source for part in edges])
            target = torch.cat([part.target for part in edges])
            other = source != target
            ends = torch.cat([target[other], loop]), torch.cat([source[other], loop])
            matrix = by_head(incoming(*ends, len(loop))[0], self.config.heads)
            self.keep(**{f"ptr_{stage}": matrix.ptr, f"column_{stage}": matrix.column})

    def mix(self, x: Tensor) -> Tensor:
        """Return the vectors after all layers: ``[N, D]``."""
        for number, stage in enumerate(self.rounds):
            x = activate(x, self.config.activation) if number else x
            layer = cast(GATLayer, self.layers[number % len(self.layers)])
            x = layer(x, self.get_buffer(f"ptr_{stage}"), self.get_buffer(f"column_{stage}"))
        return x

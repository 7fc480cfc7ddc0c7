"""HGT: attention with maps for every node type and every relation."""

from collections.abc import Iterator, Sequence
from typing import cast

import polars as pl
import torch
from pydantic import Field
from torch import Generator, Tensor, nn

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.features.featurizer import propagation
from graphrec_pt.features.gnn.messages import RelationalNetwork, by_head, glorot, messages
from graphrec_pt.graph.graph import Graph
from graphrec_pt.graph.spec import GraphSpec
from graphrec_pt.kernels.sparse import sddmm, segment_softmax, spmm


@propagation("hgt")
class HGT:
    """Heterogeneous graph transformer (Hu et al., WWW 2020), without its relative times.

    Per head, for an edge ``j → i`` of relation r between types s and t, and C = D / H:
    ``α = softmax (K_s x_j) A_r (Q_t x_i) · μ_r / √C`` over all edges into i,
    ``m_i = Σ α (V_s x_j) M_r``, ``x_i ← σ(g_t) (O_t GELU(m_i)) + (1 − σ(g_t)) x_i``.
    Types that no relation enters keep their vectors.

    Args:
        layers: Rounds of messages.
        heads: H, a divisor of the width.
        relations: Names; all by default.
    """

    layers: int = Field(1, ge=1)
    heads: int = Field(4, ge=1)
    relations: list[str] | None = None

    def build(self, spec: GraphSpec, width: int) -> "HGTPropagator":
        """Return the network."""
        return HGTPropagator(self, spec, width)


class HGTLayer(nn.Module):
    """The weights of one round.

    Args:
        linked: Node types that a relation leaves or enters.
        entered: Node types that a relation enters.
        relations: R.
        width: D.
        heads: H.
    """

    def __init__(
        self, linked: Sequence[str], entered: Sequence[str], relations: int, width: int, heads: int
    ) -> None:
        super().__init__()
        each = width // heads
        self.inward = nn.ModuleDict(  # K, Q, V
            {f"of_{name}": nn.Linear(width, 3 * width) for name in linked}
        )
        self.outward = nn.ModuleDict({f"of_{name}": nn.Linear(width, width) for name in entered})
        self.attention = nn.Parameter(torch.zeros(relations, heads, each, each))
        self.message = nn.Parameter(torch.zeros(relations, heads, each, each))
        self.prior = nn.Parameter(torch.zeros(relations, heads))
        self.gate = nn.Parameter(torch.zeros(len(entered)))

    def initialise(self, draw: Generator) -> None:
        """Fill the matrices (Glorot); priors and gates start at 1."""
        for linear in (*self.inward.values(), *self.outward.values()):
            glorot(linear.get_parameter("weight"), draw)
        glorot(self.attention, draw)
        glorot(self.message, draw)
        self.prior.fill_(1)
        self.gate.fill_(1)


class HGTPropagator(RelationalNetwork):
    """The network of :class:`HGT`.

    Args:
        config: Its options.
        spec: Of the graph.
        width: D.

    Raises:
        GraphRecError: When the heads do not divide the width.
    """

    def __init__(self, config: HGT, spec: GraphSpec, width: int) -> None:
        super().__init__("hgt", spec, width, config.relations)
        if width % config.heads:
            raise GraphRecError("hgt", f"heads that divide the width {width}", config.heads)
        self.heads, self.names, self.counts = config.heads, spec.node_names, spec.counts
        chosen = [spec.relations[spec.relation_index(name)] for name in self.relations]
        targets = {relation.target for relation in chosen}
        self.sources = [relation.source for relation in chosen]
        self.entered = [name for name in self.names if name in targets]
        linked = [name for name in self.names if name in targets.union(self.sources)]
        sizes = linked, self.entered, len(chosen), width, config.heads
        self.layers = nn.ModuleList(HGTLayer(*sizes) for _ in range(config.layers))

    def row_names(self) -> dict[str, pl.Series]:
        """Return the relation or node type of each row."""
        names = dict.fromkeys(("attention", "message", "prior"), pl.Series(self.relations))
        names["gate"] = pl.Series(self.entered)
        layers = range(len(self.layers))
        return {f"layers.{n}.{weight}": found for n in layers for weight, found in names.items()}

    def read(self, graph: Graph) -> None:
        """Keep the messages by head."""
        edges = messages(graph, self.relations)
        self.keep_messages(edges, by_head(edges.incoming, self.heads))

    def mix(self, x: Tensor) -> Tensor:
        """Return the vectors after all layers: ``[N, D]``."""
        for layer in self.layers:
            x = self._round(cast(HGTLayer, layer), x)
        return x

    def _round(self, layer: HGTLayer, x: Tensor) -> Tensor:
        queries = torch.cat(
            [
                _linear(layer, name, 1, rows) if name in self.entered else torch.zeros_like(rows)
                for name, rows in self._by_type(x)
            ]
        ).view(len(x) * self.heads, -1)  # [N · H, C]
        sent = list(zip(self.sources, self.sent(x), strict=True))
        prior = layer.prior[:, :, None, None] * (x.shape[1] // self.heads) ** -0.5
        keys = self._mapped(layer, 0, sent, layer.attention * prior)
        values = self._mapped(layer, 2, sent, layer.message)
        scores = sddmm(self.ptr, self.column, queries, keys)  # [E · H]
        received = spmm(self.ptr, self.column, segment_softmax(self.ptr, scores), values)
        return self._gated(layer, x, nn.functional.gelu(received.view(x.shape)))

    def _mapped(
        self, layer: HGTLayer, part: int, sent: Sequence[tuple[str, Tensor]], own: Tensor
    ) -> Tensor:
        """Return keys or values mapped by the matrices ``[R, H, C, C]``: ``[M · H, C]``."""
        rows = [
            _linear(layer, name, part, x, weight)
            for (name, x), weight in zip(sent, own, strict=True)
        ]
        return torch.cat(rows).view(-1, own.shape[-1])

    def _gated(self, layer: HGTLayer, x: Tensor, received: Tensor) -> Tensor:
        gates = dict(zip(self.entered, layer.gate.sigmoid(), strict=True))
        parts = zip(self._by_type(x), self._by_type(received), strict=True)
        out = [
            torch.lerp(before, layer.outward[f"of_{name}"](rows), gates[name])
            if name in gates
            else before
            for (name, before), (_, rows) in parts
        ]
        return torch.cat(out)

    def _by_type(self, x: Tensor) -> Iterator[tuple[str, Tensor]]:
        return zip(self.names, x.split_with_sizes(self.counts), strict=True)


def _linear(
    layer: HGTLayer, node_type: str, part: int, rows: Tensor, own: Tensor | None = None
) -> Tensor:
    """Return keys (0), queries (1) or values (2) of vectors ``[m, D]`` of one type: ``[m, D]``.

    The matrix of a type and those of a relation, `own` ``[H, C, C]``, are multiplied first: one
    map of the vectors instead of two.
    """
    inward, width = layer.inward[f"of_{node_type}"], rows.shape[1]
    chosen = slice(part * width, (part + 1) * width)
    weight, bias = inward.get_parameter("weight")[chosen], inward.get_parameter("bias")[chosen]
    if own is not None:
        turned = own.transpose(1, 2)  # [H, C, C]
        weight = (turned @ weight.view(*own.shape[:2], width)).view(width, width)
        bias = (turned @ bias.view(*own.shape[:2], 1)).view(width)
    return nn.functional.linear(rows, weight, bias)

"""The vector of a node from its history, such as a user's from past items in order.

Relations must have times. Training targets leak into the input unless `skip` leaves them out.
"""

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_sequence

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.features.featurizer import Feature, Vectors, featurizer
from graphrec_pt.graph.graph import Graph
from graphrec_pt.graph.spec import GraphSpec
from graphrec_pt.kernels.attention import attention
from graphrec_pt.kernels.sparse import owners
from graphrec_pt.kernels.torch.segments import ranges


class GRUEncoder(nn.Module):
    """The last state of a gated recurrent unit (Cho et al., EMNLP 2014).

    Args:
        width: D.
        layers: Stacked units.
        dropout: Between them.
    """

    def __init__(self, width: int, layers: int, dropout: float) -> None:
        super().__init__()
        self.unit = nn.GRU(width, width, layers, dropout=dropout if layers > 1 else 0.0)

    def initialise(self, draw: torch.Generator) -> None:
        """Draw weights between ±1/√D, as torch does."""
        bound = self.unit.hidden_size**-0.5
        for parameter in self.unit.parameters():
            parameter.uniform_(-bound, bound, generator=draw)

    def forward(self, x: Tensor, ptr: Tensor) -> Tensor:
        """Return ``[B, D]`` for packed vectors ``[T, D]`` and starts ``[B+1]``."""
        histories = list(x.split(ptr.diff().tolist()))  # type: ignore[no-untyped-call]
        _, last = self.unit(pack_sequence(histories, enforce_sorted=False))  # [layers, B, D]
        state: Tensor = last[-1]
        return state


class TransformerEncoder(nn.Module):
    """The state of the newest token of a pre-norm transformer that looks both ways.

    Places are counted from the newest, so that it has the same place in every history.

    Args:
        width: D.
        layers: Number of layers.
        heads: H, a divisor of D.
        longest: Tokens of a history at most.
        dropout: Of what each branch adds.
    """

    def __init__(self, width: int, layers: int, heads: int, longest: int, dropout: float) -> None:
        super().__init__()
        self.place = nn.Embedding(longest, width)
        self.layers = nn.ModuleList(AttentionLayer(width, heads, dropout) for _ in range(layers))
        self.norm = nn.LayerNorm(width)

    def forward(self, x: Tensor, ptr: Tensor) -> Tensor:
        """Return ``[B, D]`` for packed vectors ``[T, D]`` and starts ``[B+1]``."""
        newest = ptr[1:] - 1
        back = newest[owners(ptr, len(x))] - torch.arange(len(x), device=x.device)
        x = x + self.place(back)
        for layer in self.layers:
            x = layer(x, ptr)
        state: Tensor = self.norm(x[newest])
        return state


class AttentionLayer(nn.Module):
    """``x ← x + attend(norm(x)); x ← x + feed(norm(x))`` inside each history.

    Args:
        width: D.
        heads: H, a divisor of D.
        dropout: Of both branches.
    """

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.dropout = heads, nn.Dropout(dropout)
        self.before_attention, self.before_feed = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.feed = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
        )

    def forward(self, x: Tensor, ptr: Tensor) -> Tensor:
        """Return ``[T, D]``."""
        qkv = self.qkv(self.before_attention(x)).view(len(x), 3, self.heads, -1)
        q, k, v = qkv.unbind(1)  # [T, H, d]
        x = x + self.dropout(self.out(attention(q, k, v, ptr).flatten(1)))
        fed: Tensor = self.dropout(self.feed(self.before_feed(x)))
        return x + fed


@featurizer("sequence")
class Sequence:
    """The encoded vectors of a node's last neighbours under one relation.

    The history holds all edges of the attached graph: when training predicts edges of the same
    relation, `skip` must leave them out, or the target is part of the input.

    Args:
        relation: Relation with times that leaves the node type; by default the only such one.
        encoder: ``"transformer"`` (SASRec's position from the end, Kang and McAuley, ICDM 2018,
            with attention both ways) or ``"gru"`` (GRU4Rec, Hidasi et al., ICLR 2016).
        longest: Neighbours at most, the newest ones.
        skip: Number of newest neighbours to leave out.
        layers: Layers of the encoder.
        heads: Attention heads of the transformer, a divisor of the width D.
        dropout: Dropout between the layers, in training.
    """

    relation: str | None = None
    encoder: Literal["transformer", "gru"] = "transformer"
    longest: int = Field(50, ge=1)
    skip: int = Field(0, ge=0)
    layers: int = Field(1, ge=1)
    heads: int = Field(2, ge=1)
    dropout: float = Field(0.1, ge=0, lt=1)

    def build(self, spec: GraphSpec, node_type: str, width: int) -> "SequenceFeature":
        """Return the encoder."""
        relation = self._relation(spec, node_type)
        encoder: nn.Module
        if self.encoder == "gru":
            encoder = GRUEncoder(width, self.layers, self.dropout)
        else:
            if width % self.heads:
                raise GraphRecError("sequence", f"heads that divide {width}", self.heads)
            encoder = TransformerEncoder(width, self.layers, self.heads, self.longest, self.dropout)
        return SequenceFeature(relation, encoder, width, self.longest, self.skip)

    def _relation(self, spec: GraphSpec, node_type: str) -> str:
        timed = [r.name for r in spec.relations if r.source == node_type and r.timed]
        names = ", ".join(timed) or "none"
        if self.relation is not None:
            spec.relation_index(self.relation)
            if self.relation not in timed:
                expected = f"a timed relation that leaves {node_type!r}"
                raise GraphRecError("sequence", expected, repr(self.relation), f"one of {names}")
            return self.relation
        if len(timed) != 1:
            expected = f"the timed relation that leaves {node_type!r}"
            hint = f"relation: {timed[0]}" if timed else ""
            raise GraphRecError("sequence", expected, names, hint)
        return timed[0]


class SequenceFeature(Feature):
    """Histories, packed, and their encoder; a node without a history has a learned vector.

    Args:
        relation: Relation to follow.
        encoder: Map from vectors ``[T, D]`` and starts ``[B+1]`` to ``[B, D]``.
        width: D.
        longest: Neighbours at most.
        skip: Newest neighbours left out.
    """

    looks_up = True  # at other nodes: composition breaks the cycles

    start: Tensor
    item: Tensor

    def __init__(
        self, relation: str, encoder: nn.Module, width: int, longest: int, skip: int
    ) -> None:
        super().__init__()
        self.relation, self.encoder, self.longest, self.skip = relation, encoder, longest, skip
        self.missing = nn.Embedding(1, width)
        self.register_buffer("start", torch.zeros(1, dtype=torch.int64), persistent=False)
        self.register_buffer("item", torch.zeros(0, dtype=torch.int64), persistent=False)

    def attach_graph(self, graph: Graph) -> None:
        """Read the histories, oldest first."""
        low, high = graph.segments(self.relation)
        end = torch.maximum(high - self.skip, low)
        first = torch.maximum(end - self.longest, low)
        count = end - first
        item = graph.csr.indices[ranges(first, count)[0]].long()
        device = self.missing.weight.device
        self.start = torch.cat([count.new_zeros(1), count.cumsum(0)]).to(device)
        self.item = item.to(device)

    def forward(self, nodes: Tensor, vectors: Vectors) -> Tensor:
        """Return ``[n, D]``."""
        out = self.missing.weight.expand(len(nodes), -1)
        first, count = self.start[nodes], self.start[nodes + 1] - self.start[nodes]
        there = (count > 0).nonzero().squeeze(1)
        if not len(there):
            return out
        first, count = first[there], count[there]
        items, which = torch.unique(self.item[ranges(first, count)[0]], return_inverse=True)
        ptr = torch.cat([count.new_zeros(1), count.cumsum(0)])
        states: Tensor = self.encoder(vectors(items)[which], ptr)
        return out.to(states.dtype).index_copy(0, there, states)

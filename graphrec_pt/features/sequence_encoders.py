"""Encoders of packed histories: one vector for each, none of them empty."""

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_sequence

from graphrec_pt.kernels.attention import attention
from graphrec_pt.kernels.transposed import owners


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

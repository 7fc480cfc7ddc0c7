"""One pre-norm transformer layer over packed sequences: attention and a feed-forward net."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from graphrec_pt.kernels.attention import Sight, attention
from graphrec_pt.models.positions import rotated

ACTIVATIONS = {"gelu": nn.GELU, "relu": nn.ReLU}


@dataclass(frozen=True, eq=False, slots=True)
class Frame:
    """The inputs that all layers share in one forward pass.

    Args:
        ptr: int64 ``[B+1]``, where each sequence starts.
        sight: The attention mask.
        turn: Cosines and sines of rotary positions ``[T, 1, d/2]``, or None.
        edges: int64 ``[M, 3]`` (query token, relation, key token), or None.
        attend: From queries, keys and values ``[B, L, H, d]`` to ``[B, L, H, d]``, for sequences
            that are padded and not packed: hidden states are ``[B, L, D]`` then.
        record: Keys and values ``[T, H, d]`` of each layer are appended here, for a cache.
    """

    ptr: Tensor
    sight: Sight
    turn: tuple[Tensor, Tensor] | None = None
    edges: Tensor | None = None
    attend: Callable[[Tensor, Tensor, Tensor], Tensor] | None = None
    record: list[tuple[Tensor, Tensor]] | None = None


class Layer(nn.Module):
    """Pre-norm transformer layer (Xiong et al., "On layer normalization", ICML 2020).

    ``x ← x + attend(norm(x)); x ← x + feed(norm(x))``.

    Args:
        width: D.
        heads: H, a divisor of D.
        inner: Width of the feed-forward net.
        activation: ``"gelu"`` or ``"relu"``.
        relations: Relations that bias attention between adjacent tokens; one number for each
            relation and head, 0 at first (edge encoding of Graphormer, Ying et al., NeurIPS 2021).
        dropout: Dropout of both branches.
        attention_dropout: Dropout of attention weights.
    """

    def __init__(
        self,
        width: int,
        heads: int,
        inner: int,
        activation: str,
        relations: int,
        dropout: float,
        attention_dropout: float,
    ) -> None:
        super().__init__()
        self.heads, self.attention_dropout = heads, attention_dropout
        self.before_attention = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.before_feed = nn.LayerNorm(width)
        self.up = nn.Linear(width, inner)
        self.activation = ACTIVATIONS[activation]()
        self.down = nn.Linear(inner, width)
        self.dropout = nn.Dropout(dropout)
        self.edge_bias = nn.Embedding(relations, heads) if relations else None
        self.feed: Callable[[Tensor], Tensor] = self._feed

    def initialise(self, draw: torch.Generator) -> None:
        """Start without an edge bias."""
        if self.edge_bias is not None:
            self.edge_bias.weight.zero_()

    def forward(
        self,
        x: Tensor,
        frame: Frame,
        prompt: tuple[Tensor, Tensor] | None = None,
        content: Tensor | None = None,
    ) -> Tensor:
        """Return the next hidden states: ``[T, D]``.

        Args:
            x: ``[T, D]``.
            frame: Sequences, mask, rotary positions, edges.
            prompt: Keys and values ``[B or 1, H, P, d]`` that every token sees.
            content: ``[T, D]`` to attend to in place of `x`, for a query stream.
        """
        x = x + self.dropout(self._attend(x, frame, prompt, content))
        out: Tensor = self.feed(x)
        return out

    def fuse(self) -> None:
        """Compile the parts that work token by token, for any number of tokens."""
        self.feed = torch.compile(self._feed, dynamic=True)

    def _feed(self, x: Tensor) -> Tensor:
        inner = self.dropout(self.activation(self.up(self.before_feed(x))))  # [T, inner]
        out: Tensor = x + self.dropout(self.down(inner))
        return out

    def _attend(
        self,
        x: Tensor,
        frame: Frame,
        prompt: tuple[Tensor, Tensor] | None,
        content: Tensor | None,
    ) -> Tensor:
        normed = self.before_attention(x)
        if content is None:
            joint = self.qkv(normed)  # [T, 3D]
        else:
            weight, bias, width = self.qkv.weight, self.qkv.bias, x.shape[1]
            query = linear(normed, weight[:width], bias[:width])
            rest = linear(self.before_attention(content), weight[width:], bias[width:])
            joint = torch.cat([query, rest], dim=1)
        q, k, v = joint.unflatten(-1, (3, self.heads, -1)).unbind(-3)  # [T, H, d]
        if frame.attend is not None:
            padded: Tensor = self.out(frame.attend(q, k, v).flatten(-2))
            return padded
        if frame.turn is not None:
            q, k = rotated(q, frame.turn), rotated(k, frame.turn)
        if frame.record is not None:
            frame.record.append((k, v))
        options: dict[str, Any] = {}
        if self.edge_bias is not None and frame.edges is not None:
            query, relation, key = frame.edges.unbind(1)
            options["bias"] = (query, key, self.edge_bias(relation))
        if prompt is not None:
            options["prompt"] = (prompt[0].to(q.dtype), prompt[1].to(q.dtype))
        dropout = self.attention_dropout if self.training else 0.0
        mixed = attention(q, k, v, frame.ptr, mode=frame.sight, dropout=dropout, **options)
        out: Tensor = self.out(mixed.flatten(1))
        return out

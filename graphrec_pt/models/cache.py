"""Key–value caches: what a decoder keeps of its earlier tokens, so that each new one is cheap."""

from dataclasses import dataclass
from typing import Protocol, Self

import torch
from torch import Tensor
from torch.nn.functional import pad, scaled_dot_product_attention

from graphrec_pt.models.positions import rotated

STEP = 16
"""Room for new tokens that a cache gains at once."""


class Cache(Protocol):
    """The state of n sequences that are being written."""

    def select(self, rows: Tensor) -> Self:
        """Return the state of some sequences, any of them more than once: int64 ``[m]``."""
        ...


@dataclass(frozen=True, eq=False)
class LayerCache:
    """Keys and values of the tokens so far, in each layer of a graph transformer.

    Args:
        keys: For each layer ``[n, H, C, d]``, C places, of which the first ``length[i]`` are taken.
        values: Likewise.
        length: int64 ``[n]``, soft tokens and per-layer prompts included.
        places: int64 ``[n]``, tokens of each sequence so far: the next one's place.
    """

    keys: list[Tensor]
    values: list[Tensor]
    length: Tensor
    places: Tensor

    @classmethod
    def of(
        cls,
        recorded: list[tuple[Tensor, Tensor]],
        ptr: Tensor,
        prompt: tuple[Tensor, Tensor] | None,
        places: Tensor,
    ) -> "LayerCache":
        """Return the cache of packed sequences.

        Args:
            recorded: Keys and values ``[T, H, d]`` of each layer, turned by their positions.
            ptr: int64 ``[B+1]``.
            prompt: Keys and values ``[layers, B or 1, H, P, d]`` that every token sees, if any.
            places: int64 ``[B]``, tokens of each sequence without soft ones.
        """
        length = ptr.diff()
        room = torch.arange(int(length.max()) if len(length) else 0, device=ptr.device)
        index = (ptr[:-1].unsqueeze(1) + room).clamp(max=max(int(ptr[-1]) - 1, 0))  # [B, C]
        sides: list[list[Tensor]] = [[], []]
        for layer, pair in enumerate(recorded):
            for side, kept, packed in zip((0, 1), sides, pair, strict=True):
                dense = packed[index].transpose(1, 2)  # [B, H, C, d]
                if prompt is not None:
                    front = prompt[side][layer].to(dense.dtype)
                    dense = torch.cat([front.expand(len(dense), -1, -1, -1), dense], dim=2)
                kept.append(dense)
        seen = length if prompt is None else length + prompt[0].shape[3]
        return cls(sides[0], sides[1], seen, places)

    def select(self, rows: Tensor) -> "LayerCache":
        """Return the state of some sequences: int64 ``[m]``."""
        return LayerCache(
            [keys.index_select(0, rows) for keys in self.keys],
            [values.index_select(0, rows) for values in self.values],
            self.length.index_select(0, rows),
            self.places.index_select(0, rows),
        )

    def reserve(self) -> None:
        """Make room for one more token of every sequence."""
        size = self.keys[0].shape[2] if self.keys else 0
        if len(self.length) and int(self.length.max()) >= size:
            for side in (self.keys, self.values):
                side[:] = [pad(each, (0, 0, 0, STEP)) for each in side]

    def extended(self) -> "LayerCache":
        """Return the cache after one more token of every sequence has been written into it."""
        return LayerCache(self.keys, self.values, self.length + 1, self.places + 1)

    def attend(
        self, layer: int, turn: tuple[Tensor, Tensor] | None, q: Tensor, k: Tensor, v: Tensor
    ) -> Tensor:
        """Write the keys and values of a new token, and return what it sees: ``[n, 1, H, d]``.

        Args:
            layer: Number of the layer.
            turn: Cosines and sines of rotary positions ``[n, 1, d/2]``, or None.
            q: ``[n, 1, H, d]``.
            k: ``[n, 1, H, d]``.
            v: ``[n, 1, H, d]``.
        """
        q, k, v = q.squeeze(1), k.squeeze(1), v.squeeze(1)  # [n, H, d]
        if turn is not None:
            q, k = rotated(q, turn), rotated(k, turn)
        keys, values = self.keys[layer], self.values[layer]
        row = torch.arange(len(q), device=q.device)
        keys[row, :, self.length] = k.to(keys.dtype)
        values[row, :, self.length] = v.to(values.dtype)
        seen = torch.arange(keys.shape[2], device=q.device) <= self.length.unsqueeze(1)
        mixed = scaled_dot_product_attention(
            q.unsqueeze(2), keys, values, attn_mask=seen[:, None, None]
        )  # [n, H, 1, d]
        return mixed.transpose(1, 2)

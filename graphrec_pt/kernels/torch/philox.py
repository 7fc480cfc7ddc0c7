"""Philox 4×32-10 on int64 tensors, each holding one unsigned 32-bit word."""

import torch
from torch import Tensor

from graphrec_pt.core.key import PHILOX_M0, PHILOX_M1, PHILOX_ROUNDS, PHILOX_W0, PHILOX_W1

_WORD = 0xFFFFFFFF


def philox(words: tuple[int, int, int, int], item: Tensor, block: Tensor) -> Tensor:
    """Return the four words of each counter (item, block, stream, epoch).

    Args:
        words: Two seed words, stream and epoch.
        item: int64 ``[n]``, values below 2**32.
        block: int64 ``[n]``, values below 2**32.

    Returns:
        int64 ``[n, 4]``, values below 2**32.
    """
    k0, k1, stream, epoch = words
    c0, c1 = item.long() & _WORD, block.long() & _WORD
    c2, c3 = torch.full_like(c0, stream), torch.full_like(c0, epoch)
    for _ in range(PHILOX_ROUNDS):
        # The product wraps modulo 2**64; masks make the halves unsigned again.
        p0, p1 = c0 * PHILOX_M0, c2 * PHILOX_M1
        c0, c1 = ((p1 >> 32) & _WORD) ^ c1 ^ k0, p1 & _WORD
        c2, c3 = ((p0 >> 32) & _WORD) ^ c3 ^ k1, p0 & _WORD
        k0, k1 = (k0 + PHILOX_W0) & _WORD, (k1 + PHILOX_W1) & _WORD
    return torch.stack([c0, c1, c2, c3], dim=-1)


def draw(words: tuple[int, int, int, int], item: Tensor, number: Tensor) -> Tensor:
    """Return draw `number` (below 2**34) of each item: int64 ``[n]``, values below 2**32."""
    lane = (number & 3).unsqueeze(-1)
    return philox(words, item, number >> 2).gather(-1, lane).squeeze(-1)

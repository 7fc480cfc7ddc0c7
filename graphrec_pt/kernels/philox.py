"""Philox random bits for tensors on any device, equal to those of :mod:`graphrec_pt.core.key`."""

import numpy as np
import torch
from torch import Tensor

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.core.key import PHILOX_M0, PHILOX_M1, PHILOX_ROUNDS, PHILOX_W0, PHILOX_W1, Key
from graphrec_pt.kernels.csr import SegmentedCSR
from graphrec_pt.kernels.dispatch import body

ITEMS = 1 << 32  # an item is one 32-bit counter word


def philox(key: Key, item: Tensor, block: Tensor | int = 0) -> Tensor:
    """Return the four 32-bit words that Philox 4×32-10 makes of each (item, block).

    Args:
        key: Seed, epoch and stream.
        item: int64 below 2**32, the first counter word.
        block: int64 below 2**32, broadcast against `item`; draw *d* is word ``d % 4`` of
            block ``d // 4``.

    Returns:
        int64 of the broadcast shape + ``[4]``, values below 2**32.
    """
    items, blocks = _together(item, block)
    words: Tensor = body("philox", item)(key_words(key), items.reshape(-1), blocks.reshape(-1))
    return words.reshape(*items.shape, 4)


def draw32(key: Key, item: Tensor, draw: Tensor | int = 0) -> Tensor:
    """Return the 32 random bits of draw number `draw` of each item.

    Args:
        key: Seed, epoch and stream.
        item: int64 below 2**32, any shape.
        draw: int64 below 2**34, broadcast against `item`.

    Returns:
        int64 of the broadcast shape, values below 2**32; equal to
        :func:`graphrec_pt.core.key.draw32`.
    """
    items, draws = _together(item, draw)
    words = philox(key, items, draws >> 2)  # [..., 4]
    return words.gather(-1, (draws & 3).long().unsqueeze(-1)).squeeze(-1)


def below(bits: Tensor, n: Tensor | int) -> Tensor:
    """Return integers in ``[0, n)`` from 32 random bits by multiply-shift, for n below 2**32."""
    return (bits * n >> 32) & 0xFFFFFFFF


def key_words(key: Key) -> tuple[int, int, int, int]:
    """Return the words of a key for the bodies: two seed words, stream and epoch."""
    return (*key.words, key.stream, key.epoch)


def check_items(who: str, num_nodes: int) -> None:
    """Raise when global ids do not fit the 32-bit item of the counter."""
    if num_nodes >= ITEMS:
        raise GraphRecError(who, "fewer than 2**32 nodes, so that each has its draws", num_nodes)


def check_degrees(who: str, csr: SegmentedCSR) -> None:
    """Raise when a node has too many edges for a multiply-shift of 32 bits to choose among."""
    if csr.num_edges >= ITEMS:  # else no node can
        start, end = csr.bounds(torch.arange(csr.num_nodes, device=csr.segment.device))
        most = int((end - start).max())
        if most >= ITEMS:
            raise GraphRecError(who, "fewer than 2**32 edges at every node", most)


def _together(item: Tensor, number: Tensor | int) -> tuple[Tensor, Tensor]:
    numbers = torch.as_tensor(number, device=item.device)
    if numbers.shape == item.shape:
        return item, numbers
    shape = np.broadcast_shapes(item.shape, numbers.shape)
    return item.expand(shape), numbers.expand(shape)


_WORD = 0xFFFFFFFF


def torch_philox(words: tuple[int, int, int, int], item: Tensor, block: Tensor) -> Tensor:
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
    return torch_philox(words, item, number >> 2).gather(-1, lane).squeeze(-1)

"""Philox 4×32-10 in Triton: the library's own rounds under our counters."""

import torch
import triton
import triton.language as tl
from torch import Tensor

BLOCK = 256
Words = tuple[int, int, int, int]


@triton.jit  # type: ignore[untyped-decorator]
def four_words(words: tl.tensor, item: tl.tensor, block: tl.tensor) -> tl.tensor:
    """Return the four words of the counters (item, block, stream, epoch): int64 blocks.

    Args:
        words: Pointer to two seed words, stream and epoch (see :func:`on_device`).
        item: Block of int64 below 2**32.
        block: Block of int64 below 2**32.
    """
    k0 = tl.load(words).to(tl.uint64)
    k1 = tl.load(words + 1).to(tl.uint64)
    c0, c1 = item.to(tl.uint32), block.to(tl.uint32)
    c2 = tl.zeros_like(c0) + tl.load(words + 2).to(tl.uint32)
    c3 = tl.zeros_like(c0) + tl.load(words + 3).to(tl.uint32)
    a, b, c, d = tl.philox((k1 << 32) | k0, c0, c1, c2, c3, n_rounds=10)
    return a.to(tl.int64), b.to(tl.int64), c.to(tl.int64), d.to(tl.int64)


@triton.jit  # type: ignore[untyped-decorator]
def draw(words: tl.tensor, item: tl.tensor, number: tl.tensor) -> tl.tensor:
    """Return draw `number` (int64, below 2**34) of each item: int64 block below 2**32."""
    a, b, c, d = four_words(words, item, number >> 2)
    lane = number & 3
    return tl.where(lane < 2, tl.where(lane == 0, a, b), tl.where(lane == 2, c, d))


@triton.jit  # type: ignore[untyped-decorator]
def below(bits: tl.tensor, n: tl.tensor) -> tl.tensor:
    """Return integers in ``[0, n)`` from 32 random bits (int64), for n below 2**32."""
    return (bits * n >> 32) & 0xFFFFFFFF


def on_device(words: Words, device: torch.device) -> Tensor:
    """Return key words as kernels take them: int64 ``[4]``."""
    return torch.tensor(words, dtype=torch.int64, device=device)


@triton.jit  # type: ignore[untyped-decorator]
def _fill(
    words: tl.tensor,
    item: tl.tensor,
    block: tl.tensor,
    out: tl.tensor,
    n: tl.tensor,
    size: tl.constexpr,
) -> None:
    i = tl.program_id(0).to(tl.int64) * size + tl.arange(0, size)
    inside = i < n
    items = tl.load(item + i, mask=inside, other=0)
    blocks = tl.load(block + i, mask=inside, other=0)
    a, b, c, d = four_words(words, items, blocks)
    tl.store(out + i * 4, a, mask=inside)
    tl.store(out + i * 4 + 1, b, mask=inside)
    tl.store(out + i * 4 + 2, c, mask=inside)
    tl.store(out + i * 4 + 3, d, mask=inside)


def philox(words: Words, item: Tensor, block: Tensor) -> Tensor:
    """Return the four words of each counter: int64 ``[n, 4]``, values below 2**32."""
    n = item.shape[0]
    out = torch.empty((n, 4), dtype=torch.int64, device=item.device)
    if n:
        key = on_device(words, item.device)
        grid = (triton.cdiv(n, BLOCK),)
        _fill[grid](
            key, item.contiguous(), block.contiguous(), out, n, BLOCK, enable_fp_fusion=False
        )
    return out

"""Philox 4×32-10 for compiled loops; ``four_words`` vectorises over a block of items."""

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from numba import prange, uint32, uint64
from torch import Tensor

from graphrec_pt.core.key import PHILOX_M0, PHILOX_M1, PHILOX_ROUNDS, PHILOX_W0, PHILOX_W1
from graphrec_pt.kernels.numba.compile import inlined, kernel

_M0, _M1 = np.uint64(PHILOX_M0), np.uint64(PHILOX_M1)
_W0, _W1 = np.uint32(PHILOX_W0), np.uint32(PHILOX_W1)
_HALF = np.uint64(32)

Words = tuple[int, int, int, int]


@inlined
def four_words(words: Any, item: Any, block: Any) -> Any:
    """Return the four uint32 words of the counter (item, block, stream, epoch).

    Args:
        words: Two seed words, stream and epoch (see :func:`unsigned`).
        item: Unsigned integer below 2**32.
        block: Unsigned integer below 2**32.
    """
    k0, k1 = words[0], words[1]
    c0, c1, c2, c3 = uint32(item), uint32(block), words[2], words[3]
    for _ in range(PHILOX_ROUNDS):
        p0, p1 = uint64(c0) * _M0, uint64(c2) * _M1
        c0, c1 = uint32(uint32(p1 >> _HALF) ^ c1 ^ k0), uint32(p1)
        c2, c3 = uint32(uint32(p0 >> _HALF) ^ c3 ^ k1), uint32(p0)
        k0, k1 = uint32(k0 + _W0), uint32(k1 + _W1)
    return c0, c1, c2, c3


@inlined
def draw(words: Any, item: Any, number: Any) -> Any:
    """Return draw `number` (below 2**34) of an item: uint32."""
    a, b, c, d = four_words(words, item, number >> 2)
    lane = number & 3
    return (a if lane == 0 else b) if lane < 2 else (c if lane == 2 else d)


@inlined
def below(bits: Any, n: Any) -> Any:
    """Return an integer in ``[0, n)`` from 32 random bits, for n below 2**32: int64."""
    return np.int64((uint64(bits) * uint64(n)) >> _HALF)


def unsigned(words: Words) -> tuple[np.uint32, np.uint32, np.uint32, np.uint32]:
    """Return key words as compiled functions take them."""
    return np.uint32(words[0]), np.uint32(words[1]), np.uint32(words[2]), np.uint32(words[3])


@kernel(parallel=True)
def _fill(words: Any, item: npt.NDArray[Any], block: npt.NDArray[Any], out: Any) -> None:
    for i in prange(item.shape[0]):
        out[i, 0], out[i, 1], out[i, 2], out[i, 3] = four_words(words, item[i], block[i])


def philox(words: Words, item: Tensor, block: Tensor) -> Tensor:
    """Return the four words of each counter: int64 ``[n, 4]``, values below 2**32."""
    out = np.empty((item.shape[0], 4), np.int64)
    _fill(unsigned(words), item.numpy(), block.numpy(), out)
    return torch.from_numpy(out)

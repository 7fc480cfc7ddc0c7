"""Negatives: blocks of candidates whose binary searches advance together."""

from typing import Any

import numpy as np
import torch
from numba import prange
from torch import Tensor

from graphrec_pt.kernels.negative import TRIES, TRY_BITS, UNIT, UNIT_BITS, Wanted
from graphrec_pt.kernels.numba.compile import inlined, kernel
from graphrec_pt.kernels.numba.philox import below, draw, four_words, unsigned
from graphrec_pt.kernels.numba.segments import array, lower_bound

BLOCK = 32  # candidates in flight per thread
_HALVE = np.uint32(32 - UNIT_BITS)


@inlined
def _pick(cumulative: Any, mass: Any) -> Any:
    """Return the entry that owns a unit of mass."""
    return lower_bound(cumulative, 0, cumulative.shape[0], mass + 1)


@inlined
def _candidate(bits: Any, low: Any, size: Any, cumulative: Any) -> Any:
    if cumulative.shape[0] == 0:
        return low + below(bits, size)
    return low + _pick(cumulative, np.int64(bits >> _HALVE))


@inlined
def _mass(cumulative: Any, node: Any) -> Any:
    """Return the mass in front of a node and its own."""
    if cumulative.shape[0] == 0:
        return node, np.int64(1)
    before = cumulative[node - 1] if node > 0 else np.int64(0)
    return before, cumulative[node] - before


@kernel()
def _again(
    words: Any,
    item: Any,
    j: Any,
    start: Any,
    end: Any,
    targets: Any,
    low: Any,
    size: Any,
    cumulative: Any,
) -> Any:
    """Draw a negative whose first candidate was refused."""
    for attempt in range(1, TRIES):
        bits = draw(words, item, (attempt << TRY_BITS) + j)
        node = _candidate(bits, low, size, cumulative)
        place = lower_bound(targets, start, end, node)
        if place == end or targets[place] != node:
            return node
    free = size if cumulative.shape[0] == 0 else np.int64(UNIT)
    for e in range(start, end):
        node = np.int64(targets[e]) - low
        if 0 <= node < size and (e == start or targets[e - 1] != targets[e]):
            free -= _mass(cumulative, node)[1]
    if free <= 0:
        return np.int64(-1)
    rank = below(draw(words, item, (TRIES << TRY_BITS) + j), free)
    for e in range(start, end):
        node = np.int64(targets[e]) - low
        if 0 <= node < size and (e == start or targets[e - 1] != targets[e]):
            before, mass = _mass(cumulative, node)
            if rank < before:
                break
            rank += mass
    return low + (rank if cumulative.shape[0] == 0 else _pick(cumulative, rank))


@kernel(parallel=True)
def _negative(
    words: Any,
    items: Any,
    start: Any,
    end: Any,
    targets: Any,
    low: Any,
    size: Any,
    cumulative: Any,
    out: Any,
) -> None:
    rows, count = out.shape
    total = rows * count
    for block in prange((total + BLOCK - 1) // BLOCK):
        first = block * BLOCK
        many = min(BLOCK, total - first)
        at, left = np.empty(BLOCK, np.int64), np.empty(BLOCK, np.int64)
        node = np.empty(BLOCK, np.int64)
        longest = np.int64(0)
        b, j = first // count, first % count
        w = four_words(words, items[b], j >> 2)
        for i in range(many):
            if i > 0 and j & 3 == 0:
                w = four_words(words, items[b], j >> 2)
            lane = j & 3
            bits = (w[0] if lane == 0 else w[1]) if lane < 2 else (w[2] if lane == 2 else w[3])
            node[i] = _candidate(bits, low, size, cumulative)
            at[i], left[i] = start[b], end[b] - start[b]
            longest = max(longest, left[i])
            j += 1
            if j == count:
                b, j = b + 1, 0
        while longest > 0:
            for i in range(many):
                half = left[i] >> 1
                if left[i] > 0 and targets[at[i] + half] < node[i]:
                    at[i] += half + 1
                    left[i] -= half + 1
                else:
                    left[i] = half
            longest >>= 1
        for i in range(many):
            b, j = (first + i) // count, (first + i) % count
            if at[i] < end[b] and targets[at[i]] == node[i]:
                node[i] = _again(
                    words, items[b], j, start[b], end[b], targets, low, size, cumulative
                )
            out[b, j] = node[i]


def negative(wanted: Wanted) -> Tensor:
    """Draw negatives; see :func:`graphrec_pt.kernels.negative.negative`."""
    out = np.empty((len(wanted.item), wanted.each), np.int64)
    uniform = np.empty(0, np.int64)
    _negative(
        unsigned(wanted.words),
        array(wanted.item),
        array(wanted.start),
        array(wanted.end),
        array(wanted.targets),
        np.int64(wanted.low),
        np.int64(wanted.size),
        uniform if wanted.cumulative is None else array(wanted.cumulative),
        out,
    )
    return torch.from_numpy(out)

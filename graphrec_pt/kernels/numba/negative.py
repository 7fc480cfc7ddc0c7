"""Negatives: blocks of candidates whose binary searches advance together."""

from typing import Any

import numpy as np
import torch
from numba import prange
from torch import Tensor

from graphrec_pt.kernels.csr import SegmentedCSR
from graphrec_pt.kernels.negative import TRIES, TRY_BITS, UNIT, UNIT_BITS, Wanted
from graphrec_pt.kernels.numba.compile import inlined, kernel
from graphrec_pt.kernels.numba.philox import below, draw, four_words, unsigned
from graphrec_pt.kernels.numba.segments import (
    array,
    arrays,
    lower_bound,
    lower_bounds,
    node_segments,
)

BLOCK = 64  # candidates in flight per thread
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
    csr: Any,
    words: Any,
    items: Any,
    source: Any,
    slot: Any,
    targets: Any,
    low: Any,
    size: Any,
    cumulative: Any,
    out: Any,
) -> None:
    rows, each = out.shape
    total = rows * each
    for block in prange((total + BLOCK - 1) // BLOCK):
        first = block * BLOCK
        many = min(BLOCK, total - first)
        at, left = np.empty(BLOCK, np.int64), np.empty(BLOCK, np.int64)
        start, end = np.empty(BLOCK, np.int64), np.empty(BLOCK, np.int64)
        node = np.empty(BLOCK, np.int64)
        b, j = first // each, first % each
        for i in range(many):
            if i == 0 or j == 0:
                segment = node_segments(csr, source[b])[0] + slot[b]
                begin, stop = csr.segment[segment], csr.segment[segment + 1]
            if i == 0 or j & 3 == 0:
                w = four_words(words, items[b], j >> 2)
            lane = j & 3
            bits = (w[0] if lane == 0 else w[1]) if lane < 2 else (w[2] if lane == 2 else w[3])
            node[i] = _candidate(bits, low, size, cumulative)
            start[i], end[i] = begin, stop
            at[i], left[i] = begin, stop - begin
            j += 1
            if j == each:
                b, j = b + 1, 0
        lower_bounds(targets, at, left, node, many)
        b, j = first // each, first % each
        for i in range(many):
            if at[i] < end[i] and targets[at[i]] == node[i]:
                node[i] = _again(
                    words, items[b], j, start[i], end[i], targets, low, size, cumulative
                )
            out[b, j] = node[i]
            j += 1
            if j == each:
                b, j = b + 1, 0


def negative(csr: SegmentedCSR, wanted: Wanted) -> Tensor:
    """Draw negatives; see :func:`graphrec_pt.kernels.negative.negative`."""
    out = np.empty((len(wanted.item), wanted.each), np.int64)
    uniform = np.empty(0, np.int64)
    _negative(
        arrays(csr),
        unsigned(wanted.words),
        array(wanted.item),
        array(wanted.source),
        array(wanted.slot),
        array(wanted.targets),
        np.int64(wanted.low),
        np.int64(wanted.size),
        uniform if wanted.cumulative is None else array(wanted.cumulative),
        out,
    )
    return torch.from_numpy(out)

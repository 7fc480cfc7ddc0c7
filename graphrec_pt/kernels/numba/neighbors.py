"""Neighbour sampling in compiled loops; the draws are those of the torch body.

Nodes go in blocks: one loop asks for the segment bounds of the whole block, the next one draws.
"""

from typing import Any

import numpy as np
import torch
from numba import prange, uint32
from torch import Tensor

from graphrec_pt.kernels.csr import SegmentedCSR
from graphrec_pt.kernels.neighbors import SPARE, Plan
from graphrec_pt.kernels.numba.choice import optional, search_near, unit
from graphrec_pt.kernels.numba.compile import inlined, kernel
from graphrec_pt.kernels.numba.philox import below, four_words, unsigned
from graphrec_pt.kernels.numba.prefetch import prefetch
from graphrec_pt.kernels.numba.segments import array, arrays, lower_bound, node_segments
from graphrec_pt.kernels.torch.choice import UNDER_ONE

BLOCK = 64
FEW = 32


def neighbors(csr: SegmentedCSR, plan: Plan) -> tuple[Tensor, Tensor]:
    """Sample; see :func:`graphrec_pt.kernels.neighbors.neighbors`.

    Returns:
        int64 ``[M]`` positions by cell and int64 ``[C]`` how many each cell got.
    """
    graph = arrays(csr)
    nodes, slots = array(plan.nodes), array(plan.slots)
    before, time = optional(plan.before, torch.int64), optional(csr.time, torch.int64)
    most = np.empty(len(nodes) * len(slots), np.int64)
    _count(graph, time, nodes, slots, before, plan.fanout, plan.replace, most)
    ptr = np.concatenate([np.zeros(1, np.int64), np.cumsum(most)])
    position, got = np.empty(ptr[-1], np.int64), np.empty_like(most)
    _sample(
        graph,
        time,
        optional(csr.edge, csr.indices.dtype),
        optional(plan.cumulative, torch.float64),
        nodes,
        slots,
        before,
        optional(plan.exclude, torch.int64),
        array(plan.item),
        array(plan.block),
        plan.blocks,
        unsigned(plan.words),
        plan.fanout,
        plan.replace,
        ptr,
        position,
        got,
    )
    if plan.exclude is not None or plan.cumulative is not None:  # cells may have got fewer
        keep = np.arange(len(position)) - np.repeat(ptr[:-1], most) < np.repeat(got, most)
        position = position[keep]
    return torch.from_numpy(position), torch.from_numpy(got)


@inlined
def _segments(csr: Any, node: Any, slot: Any) -> Any:
    first, count = node_segments(csr, node)
    if slot < 0:
        return first, first, first + count
    return first, first + slot, first + slot + (1 if slot < count else 0)


@inlined
def _end(csr: Any, time: Any, before: Any, owner: Any, k: Any) -> Any:
    """Return where the eligible edges of segment `k` end."""
    start, end = csr.segment[k], csr.segment[k + 1]
    return lower_bound(time, start, end, before[owner]) if before.shape[0] > 0 else end


@kernel(parallel=True)
def _count(
    csr: Any,
    time: Any,
    nodes: Any,
    slots: Any,
    before: Any,
    fanout: Any,
    replace: Any,
    most: Any,
) -> None:
    """Write how many edges each cell can get."""
    columns, total = slots.shape[0], nodes.shape[0]
    for block in prange((total + BLOCK - 1) // BLOCK):
        row = block * BLOCK
        for b in range(row, min(row + BLOCK, total)):
            prefetch(csr.segment, node_segments(csr, nodes[b])[0])
        for b in range(row, min(row + BLOCK, total)):
            for column in range(columns):
                _, first, last = _segments(csr, nodes[b], slots[column])
                size = np.int64(0)
                for k in range(first, last):
                    size += _end(csr, time, before, b, k) - csr.segment[k]
                if fanout > 0 and (size > fanout or (replace and size > 0)):
                    size = np.int64(fanout)
                most[b * columns + column] = size


@kernel(parallel=True)
def _sample(
    csr: Any,
    time: Any,
    edge_ids: Any,
    cumulative: Any,
    nodes: Any,
    slots: Any,
    before: Any,
    exclude: Any,
    items: Any,
    blocks: Any,
    stride: Any,
    words: Any,
    fanout: Any,
    replace: Any,
    ptr: Any,
    position: Any,
    got: Any,
) -> None:
    """Write the edges of each cell from ``position[ptr[cell]]`` on."""
    columns, total = slots.shape[0], nodes.shape[0]
    widest = np.int64(1)
    for kind in range(csr.slots.shape[0]):
        widest = max(widest, csr.slots[kind])
    for block in prange((total + BLOCK - 1) // BLOCK):
        row = block * BLOCK
        room = max(fanout, 0) + SPARE
        ends = np.empty(widest, np.int64)
        taken = np.empty(room, np.int64)
        weights = np.empty((2, room if cumulative.shape[0] > 0 else 0))
        for b in range(row, min(row + BLOCK, total)):
            prefetch(csr.segment, node_segments(csr, nodes[b])[0])
        for b in range(row, min(row + BLOCK, total)):
            banned = exclude[b] if exclude.shape[0] > 0 else np.int64(-1)
            for column in range(columns):
                cell = b * columns + column
                begin, first, last = _segments(csr, nodes[b], slots[column])
                size = np.int64(0)
                for k in range(first, last):
                    ends[k - first] = _end(csr, time, before, b, k)
                    size += ends[k - first] - csr.segment[k]
                out = position[ptr[cell] : ptr[cell + 1]]
                begin = csr.segment[begin]
                if size == 0:
                    got[cell] = 0
                elif fanout < 0 or (size <= fanout and not replace):
                    got[cell] = _take_all(
                        csr, edge_ids, cumulative, begin, first, last, ends, banned, out
                    )
                elif cumulative.shape[0] > 0:
                    got[cell] = _draw_weighted(
                        csr, edge_ids, cumulative, begin, first, last, ends, banned,
                        uint32(items[b]), blocks[b] + column * stride, words, replace, taken,
                        weights, out,
                    )  # fmt: skip
                else:
                    got[cell] = _draw_uniform(
                        csr, edge_ids, first, last, ends, size, banned,
                        uint32(items[b]), blocks[b] + column * stride, words, replace, taken, out,
                    )  # fmt: skip


@inlined
def _position(csr: Any, first: Any, last: Any, ends: Any, rank: Any) -> Any:
    """Return the edge position of a rank among the eligible edges."""
    k = first
    while k < last - 1 and rank >= ends[k - first] - csr.segment[k]:
        rank -= ends[k - first] - csr.segment[k]
        k += 1
    return csr.segment[k] + rank


@kernel()
def _take_all(
    csr: Any,
    edge_ids: Any,
    cumulative: Any,
    begin: Any,
    first: Any,
    last: Any,
    ends: Any,
    banned: Any,
    out: Any,
) -> Any:
    count = 0
    for k in range(first, last):
        for edge in range(csr.segment[k], ends[k - first]):
            if banned >= 0 and edge_ids[edge] == banned:
                continue
            if cumulative.shape[0] > 0:
                below_ = cumulative[edge - 1] if edge > begin else 0.0
                if not cumulative[edge] - below_ > 0:
                    continue
            out[count] = edge
            count += 1
    return count


@kernel()
def _draw_uniform(
    csr: Any,
    edge_ids: Any,
    first: Any,
    last: Any,
    ends: Any,
    size: Any,
    banned: Any,
    item: Any,
    block: Any,
    words: Any,
    replace: Any,
    taken: Any,
    out: Any,
) -> Any:
    """Draw ranks that are not taken; `taken` ascends."""
    count, held = 0, 0
    bits = four_words(words, item, block)
    for number in range(out.shape[0] + SPARE):
        if number & 3 == 0 and number > 0:
            bits = four_words(words, item, block + (number >> 2))
        if count == out.shape[0] or held == size:
            break
        lane = number & 3
        word = (
            (bits[0] if lane == 0 else bits[1]) if lane < 2 else (bits[2] if lane == 2 else bits[3])
        )
        rank = below(word, size - held)
        place = 0
        if held <= FEW:  # no branch to mispredict
            for i in range(held):
                step = np.int64(taken[i] <= rank)
                rank += step
                place += step
        else:
            while place < held and taken[place] <= rank:
                rank += 1
                place += 1
        refused = banned >= 0 and edge_ids[_position(csr, first, last, ends, rank)] == banned
        if not refused:
            if replace:
                out[count] = _position(csr, first, last, ends, rank)
            count += 1
        if refused or not replace:
            if held <= FEW:
                for i in range(held, 0, -1):
                    taken[i] = taken[i - 1] if i > place else taken[i]
            else:
                for i in range(held, place, -1):
                    taken[i] = taken[i - 1]
            taken[place] = rank
            held += 1
    if not replace:
        count = 0
        for i in range(held):
            edge = _position(csr, first, last, ends, taken[i])
            prefetch(csr.indices, edge)  # the caller reads the targets next
            if banned < 0 or edge_ids[edge] != banned:
                out[count] = edge
                count += 1
    return count


@kernel()
def _draw_weighted(
    csr: Any,
    edge_ids: Any,
    cumulative: Any,
    begin: Any,
    first: Any,
    last: Any,
    ends: Any,
    banned: Any,
    item: Any,
    block: Any,
    words: Any,
    replace: Any,
    taken: Any,
    weights: Any,
    out: Any,
) -> Any:
    """Draw edges by the weight that is left; `taken` ascends, `weights` says where each lies."""
    left = 0.0
    for k in range(first, last):
        start, end = csr.segment[k], ends[k - first]
        if end > start:
            left += cumulative[end - 1] - (cumulative[start - 1] if start > begin else 0.0)
    count, held = 0, 0
    for number in range(out.shape[0] + SPARE):
        if count == out.shape[0] or not left > 0:
            break
        a, b, c, d = four_words(words, item, block + (number >> 1))
        goal = (unit(a, b) if number & 1 == 0 else unit(c, d)) * left
        for i in range(held):
            if weights[0, i] <= goal:
                goal += weights[1, i]
        passed, edge, where, weight = 0.0, np.int64(-1), 0.0, 0.0
        for k in range(first, last):
            start, end = csr.segment[k], ends[k - first]
            if end <= start:
                continue
            skipped = cumulative[start - 1] if start > begin else 0.0
            mass = cumulative[end - 1] - skipped
            if goal < passed + mass:
                rest = min(goal - passed, mass * UNDER_ONE)
                guess = start + np.int64(rest / mass * (end - start))
                edge = search_near(cumulative, start, end, guess, skipped, rest)
                before = (cumulative[edge - 1] if edge > begin else 0.0) - skipped
                where, weight = passed + before, cumulative[edge] - skipped - before
                break
            passed += mass
        if edge < 0:
            continue
        place = 0
        while place < held and taken[place] < edge:
            place += 1
        if place < held and taken[place] == edge:
            continue  # rounding led back to a taken edge
        refused = banned >= 0 and edge_ids[edge] == banned
        if not refused:
            if replace:
                out[count] = edge
            count += 1
        if refused or not replace:
            for i in range(held, place, -1):
                taken[i] = taken[i - 1]
                weights[0, i], weights[1, i] = weights[0, i - 1], weights[1, i - 1]
            taken[place], weights[0, place], weights[1, place] = edge, where, weight
            left -= weight
            held += 1
    if not replace:
        count = 0
        for i in range(held):
            if banned < 0 or edge_ids[taken[i]] != banned:
                out[count] = taken[i]
                count += 1
    return count

"""Neighbour sampling in compiled loops; the draws are those of the torch body.

Nodes go in blocks: one loop asks for the segment bounds of the whole block, the next one draws,
in the plain case for all nodes of the block side by side.
"""

from typing import Any

import numpy as np
import torch
from numba import prange, uint32
from torch import Tensor

from graphrec_pt.kernels.csr import SegmentedCSR
from graphrec_pt.kernels.neighbors import SPARE, FanOutPlan
from graphrec_pt.kernels.numba.choice import optional
from graphrec_pt.kernels.numba.compile import inlined, kernel
from graphrec_pt.kernels.numba.neighbors_draw import (
    draw_side_by_side,
    draw_uniform,
    draw_weighted,
    take_all,
)
from graphrec_pt.kernels.numba.philox import unsigned
from graphrec_pt.kernels.numba.segments import array, arrays, lower_bound, node_segments, prefetch

BLOCK = 64
FEW = 64  # the side-by-side draw takes time with the square of the fan-out


def neighbors(csr: SegmentedCSR, plan: FanOutPlan) -> tuple[Tensor, Tensor]:
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
    edge, exclude = optional(csr.edge, csr.indices.dtype), optional(plan.exclude, torch.int64)
    item, block, words = array(plan.item), array(plan.block), unsigned(plan.words)
    plain = plan.cumulative is None and plan.before is None and not plan.replace
    if plain and 0 < plan.fanout <= FEW:
        _sample_plainly(
            graph, edge, nodes, slots, exclude, item, block, plan.blocks, words, plan.fanout, ptr,
            position, got,
        )  # fmt: skip
    else:
        cumulative = optional(plan.cumulative, torch.float64)
        _sample(
            graph, time, edge, cumulative, nodes, slots, before, exclude, item, block, plan.blocks,
            words, plan.fanout, plan.replace, ptr, position, got,
        )  # fmt: skip
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
                    got[cell] = take_all(
                        csr, edge_ids, cumulative, begin, first, last, ends, banned, out
                    )
                elif cumulative.shape[0] > 0:
                    got[cell] = draw_weighted(
                        csr, edge_ids, cumulative, begin, first, last, ends, banned,
                        uint32(items[b]), blocks[b] + column * stride, words, replace, taken,
                        weights, out,
                    )  # fmt: skip
                else:
                    got[cell] = draw_uniform(
                        csr, edge_ids, first, last, ends, size, banned,
                        uint32(items[b]), blocks[b] + column * stride, words, replace, taken, out,
                    )  # fmt: skip


@kernel(parallel=True)
def _sample_plainly(
    csr: Any,
    edge_ids: Any,
    nodes: Any,
    slots: Any,
    exclude: Any,
    items: Any,
    blocks: Any,
    stride: Any,
    words: Any,
    fanout: Any,
    ptr: Any,
    position: Any,
    got: Any,
) -> None:
    """Write the edges of each cell, uniform and without replacement, whatever their time."""
    columns, total = slots.shape[0], nodes.shape[0]
    for chunk in prange((total + BLOCK - 1) // BLOCK):
        row = chunk * BLOCK
        item, block = np.empty(BLOCK, np.uint32), np.empty(BLOCK, np.uint32)
        owner, start, size = (
            np.empty(BLOCK, np.int64),
            np.empty(BLOCK, np.int64),
            np.empty(BLOCK, np.int64),
        )
        taken = np.empty((fanout, BLOCK), np.int64)
        for b in range(row, min(row + BLOCK, total)):
            prefetch(csr.segment, node_segments(csr, nodes[b])[0])
        for column in range(columns):
            cells = 0
            for b in range(row, min(row + BLOCK, total)):
                _, first, last = _segments(csr, nodes[b], slots[column])
                begin, end = csr.segment[first], csr.segment[last]
                if end - begin > fanout:
                    owner[cells], start[cells], size[cells] = b, begin, end - begin
                    item[cells] = uint32(items[b])
                    block[cells] = uint32(blocks[b] + column * stride)
                    cells += 1
                    continue
                banned = exclude[b] if exclude.shape[0] > 0 else np.int64(-1)
                count, at = 0, ptr[b * columns + column]
                for edge in range(begin, end):
                    if banned < 0 or edge_ids[edge] != banned:
                        position[at + count] = edge
                        count += 1
                        prefetch(csr.indices, edge)
                got[b * columns + column] = count
            draw_side_by_side(words, item, block, size, fanout, np.int64(cells), taken)
            for c in range(cells):
                cell = owner[c] * columns + column
                got[cell] = fanout
                for i in range(fanout):
                    edge = start[c] + taken[i, c]
                    position[ptr[cell] + i] = edge
                    prefetch(csr.indices, edge)  # the caller reads the targets next
                    if exclude.shape[0] > 0:
                        prefetch(edge_ids, edge)
            if exclude.shape[0] > 0:
                for c in range(cells):
                    cell, banned = owner[c] * columns + column, exclude[owner[c]]
                    out = position[ptr[cell] : ptr[cell + 1]]
                    excluded = False
                    for i in range(fanout):
                        excluded = excluded or (banned >= 0 and edge_ids[out[i]] == banned)
                    if excluded:  # draw again, one by one, to replace it
                        _, first, last = _segments(csr, nodes[owner[c]], slots[column])
                        ends = np.empty(last - first, np.int64)
                        for k in range(first, last):
                            ends[k - first] = csr.segment[k + 1]
                        got[cell] = draw_uniform(
                            csr, edge_ids, first, last, ends, size[c], banned, item[c],
                            np.int64(block[c]), words, False, np.empty(fanout + SPARE, np.int64),
                            out,
                        )  # fmt: skip

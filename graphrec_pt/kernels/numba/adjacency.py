"""Membership of an edge and the edges among nodes, in compiled loops."""

from typing import Any

import numpy as np
import torch
from numba import prange
from torch import Tensor

from graphrec_pt.kernels.csr import SegmentedCSR
from graphrec_pt.kernels.numba.compile import inlined, kernel
from graphrec_pt.kernels.numba.segments import (
    array,
    arrays,
    lower_bound,
    lower_bounds,
    node_segments,
    relation_of,
)


@kernel(parallel=True)
def _add_up(start: Any, weight: Any, out: Any) -> None:
    for u in prange(start.shape[0] - 1):
        total = 0.0
        for e in range(start[u], start[u + 1]):
            total += np.float64(weight[e])
            out[e] = total


def cumulative_weight(csr: SegmentedCSR) -> Tensor:
    """Return float64 ``[E]``; see :func:`graphrec_pt.kernels.adjacency.cumulative_weight`."""
    csr = csr.to("cpu")
    assert csr.weight is not None
    out = np.empty(csr.num_edges, np.float64)
    starts, _ = csr.bounds(torch.arange(csr.num_nodes, device="cpu"))
    starts = torch.cat([starts, starts.new_tensor([csr.num_edges])])
    _add_up(array(starts), array(csr.weight), out)
    return torch.from_numpy(out)


@kernel(parallel=True)
def _sort(segment: Any, indices: Any, out: Any) -> None:
    for g in prange(segment.shape[0] - 1):
        start, end = segment[g], segment[g + 1]
        ascends = True
        for e in range(start, end):
            out[e] = e
            ascends = ascends and (e == start or indices[e - 1] <= indices[e])
        if not ascends:
            out[start:end] = start + np.argsort(indices[start:end], kind="mergesort")


def target_order(csr: SegmentedCSR) -> Tensor:
    """Return edges by (segment, target); see :func:`graphrec_pt.kernels.adjacency`."""
    out = np.empty(csr.num_edges, np.int64)
    _sort(csr.segment.contiguous().numpy(), csr.indices.contiguous().numpy(), out)
    return torch.from_numpy(out)


@kernel(parallel=True)
def _relations(csr: Any, table: Any, edge: Any, source: Any, out: Any) -> None:
    for i in prange(edge.shape[0]):
        first, _ = node_segments(csr, source[i])
        out[i] = relation_of(csr, table, source[i], first, first, np.int64(-1), edge[i])


def edge_relation(csr: SegmentedCSR, relations: Tensor, edge: Tensor, source: Tensor) -> Tensor:
    """Find relations; see :func:`graphrec_pt.kernels.adjacency.edge_relation`."""
    out = np.empty(len(edge), np.int64)
    _relations(arrays(csr), array(relations), array(edge), array(source), out)
    return torch.from_numpy(out)


BLOCK = 64  # searches in flight per thread: enough to overlap the cache misses


@kernel(parallel=True)
def _member(csr: Any, targets: Any, source: Any, slot: Any, target: Any, out: Any) -> None:
    blocks = (source.shape[0] + BLOCK - 1) // BLOCK
    for b in prange(blocks):
        first = b * BLOCK
        size = min(BLOCK, source.shape[0] - first)
        low, left = np.empty(BLOCK, np.int64), np.empty(BLOCK, np.int64)
        end = np.empty(BLOCK, np.int64)
        value = np.empty(BLOCK, np.int64)
        for i in range(size):
            segment, count = node_segments(csr, source[first + i])
            k = slot[first + i]
            low[i] = csr.segment[segment + max(k, 0)]
            # Every relation: one search per segment below, none here.
            end[i] = csr.segment[segment + k + 1] if k >= 0 else low[i]
            left[i] = end[i] - low[i]
            value[i] = target[first + i]
        lower_bounds(targets, low, left, value, size)
        for i in range(size):
            out[first + i] = low[i] < end[i] and targets[low[i]] == target[first + i]
            if slot[first + i] < 0:
                segment, count = node_segments(csr, source[first + i])
                for k in range(count):
                    stop = csr.segment[segment + k + 1]
                    at = lower_bound(targets, csr.segment[segment + k], stop, target[first + i])
                    if at < stop and targets[at] == target[first + i]:
                        out[first + i] = True
                        break


def member(
    csr: SegmentedCSR, targets: Tensor, source: Tensor, slot: Tensor, target: Tensor
) -> Tensor:
    """Say whether edges exist; see :func:`graphrec_pt.kernels.adjacency.member`."""
    out = np.empty(len(source), np.bool_)
    _member(arrays(csr), array(targets), array(source), array(slot), array(target), out)
    return torch.from_numpy(out)


@inlined
def _run(ascending: Any, low: Any, end: Any) -> Any:
    """Return the end of the run of equal values that starts at `low`."""
    high = low + 1
    while high < end and ascending[high] == ascending[low]:
        high += 1
    return high


@kernel(parallel=True)
def _induce(
    csr: Any,
    targets: Any,
    nodes: Any,
    ptr: Any,
    sequence: Any,
    ordered: Any,
    start: Any,
    out: Any,
    fill: Any,
) -> None:
    """Count the edges of each token into ``start[t + 1]``, or write them from ``start[t]``."""
    for t in prange(nodes.shape[0]):
        here, there = ptr[sequence[t]], ptr[sequence[t] + 1]
        segment, slots = node_segments(csr, nodes[t])
        at = start[t]
        count = 0
        for k in range(slots):
            a, a_end = csr.segment[segment + k], csr.segment[segment + k + 1]
            b = here
            by_edge = a_end - a < there - here  # walk through the shorter side
            while a < a_end and b < there:
                if by_edge:
                    b = lower_bound(ordered, b, there, targets[a])
                    hit = b < there and ordered[b] == targets[a]
                else:
                    a = lower_bound(targets, a, a_end, ordered[b])
                    hit = a < a_end and targets[a] == ordered[b]
                a_next = _run(targets, a, a_end) if hit or by_edge else a
                b_next = _run(ordered, b, there) if hit or not by_edge else b
                if hit:
                    if fill:
                        for target in range(b, b_next):
                            for place in range(a, a_next):
                                out[0, at], out[1, at] = t, k
                                out[2, at], out[3, at] = target, place
                                at += 1
                    count += (a_next - a) * (b_next - b)
                a, b = a_next, b_next
        if not fill:
            start[t + 1] = count


def induce(
    csr: SegmentedCSR,
    targets: Tensor,
    nodes: Tensor,
    ptr: Tensor,
    sequence: Tensor,
    ordered: Tensor,
) -> tuple[Tensor, ...]:
    """Find the edges inside sequences; see :func:`graphrec_pt.kernels.adjacency.induce`."""
    given = (
        arrays(csr),
        array(targets),
        array(nodes),
        array(ptr),
        array(sequence),
        array(ordered),
    )
    start = np.zeros(len(nodes) + 1, np.int64)
    _induce(*given, start, np.empty((4, 0), np.int64), False)
    start = start.cumsum()
    out = np.empty((4, start[-1]), np.int64)
    _induce(*given, start, out, True)
    return tuple(torch.from_numpy(out))

"""Path instances, pairs in parallel: a few dozen candidates each, joined by binary search."""

from typing import Any

import numpy as np
import torch
from numba import prange
from torch import Tensor

from graphrec_pt.kernels.csr import SegmentedCSR
from graphrec_pt.kernels.numba.compile import inlined, kernel
from graphrec_pt.kernels.numba.segments import array, arrays, lower_bound, node_segments
from graphrec_pt.kernels.paths import Question


@kernel()
def _expand(
    csr: Any, best: Any, edge: Any, node: Any, slot: Any, exclude: Any, taboo: Any, found: Any
) -> Any:
    """Write the best distinct neighbours into `found`; return how many."""
    first, _ = node_segments(csr, node)
    count = 0
    for place in range(csr.segment[first + slot], csr.segment[first + slot + 1]):
        if count == found.shape[0]:
            break
        v = np.int64(csr.indices[best[place]])
        fresh = v != taboo[0] and v != taboo[1] and v != taboo[2]
        if edge.shape[0] > 0:
            fresh = fresh and edge[best[place]] != exclude
        for i in range(count):
            fresh = fresh and found[i] != v
        if fresh:
            found[count] = v
            count += 1
    return count


@kernel()
def _join(
    csr: Any,
    targets: Any,
    order: Any,
    edge: Any,
    score: Any,
    node: Any,
    slot: Any,
    target: Any,
    exclude: Any,
) -> Any:
    """Return the best, then first, edge of (node, slot, target): −1 when there is none."""
    first, _ = node_segments(csr, node)
    end = csr.segment[first + slot + 1]
    place = lower_bound(targets, csr.segment[first + slot], end, target)
    found = np.int64(-1)
    while place < end and targets[place] == target:
        position = order[place]
        allowed = edge.shape[0] == 0 or edge[position] != exclude
        if allowed and (found < 0 or score[position] > score[found]):
            found = position
        place += 1
    return found


@inlined
def _before(score: Any, path: Any, other: Any, nodes: Any) -> Any:
    """Whether an instance goes before another: by falling score, then by nodes."""
    if score != other:
        return score > other
    for i in range(path.shape[0]):
        if path[i] != nodes[i]:
            return path[i] < nodes[i]
    return False


@kernel(parallel=True)
def _paths(
    csr: Any,
    best: Any,
    targets: Any,
    order: Any,
    edge: Any,
    score: Any,
    source: Any,
    target: Any,
    excludes: Any,
    slots: Any,
    back: Any,
    cap: Any,
    nodes: Any,
    position: Any,
    scores: Any,
) -> None:
    hops, top = slots.shape[0], nodes.shape[1]
    for b in prange(source.shape[0]):
        u, i, exclude = source[b], target[b], excludes[b]
        first, second = np.empty(cap, np.int64), np.empty(cap, np.int64)
        last, tail = np.empty(cap, np.int64), np.empty(cap, np.int64)
        path, step = np.empty(hops + 1, np.int64), np.empty(hops, np.int64)
        path[0], path[hops] = u, i
        if hops > 2:
            many = _expand(csr, best, edge, i, back, exclude, (u, i, i), last)
            for c in range(many):
                tail[c] = _join(
                    csr, targets, order, edge, score, last[c], slots[hops - 1], i, exclude
                )
        else:
            many, last[0], tail[0] = 1, i, 0
        middle = hops - 2 if hops > 2 else 1  # the hop that joins both sides
        ones = _expand(csr, best, edge, u, slots[0], exclude, (u, i, i), first)
        for a in range(ones):
            path[1] = first[a]
            step[0] = _join(csr, targets, order, edge, score, u, slots[0], path[1], exclude)
            twos = 1
            if hops == 4:
                twos = _expand(csr, best, edge, path[1], slots[1], exclude, (u, i, path[1]), second)
            for s in range(twos):
                if hops == 4:
                    path[2] = second[s]
                    step[1] = _join(
                        csr, targets, order, edge, score, path[1], slots[1], path[2], exclude
                    )
                for c in range(many):
                    y = last[c]
                    if tail[c] < 0 or (hops > 2 and y == path[1]) or (hops == 4 and y == path[2]):
                        continue
                    found = _join(
                        csr, targets, order, edge, score, path[middle], slots[middle], y, exclude
                    )
                    if found < 0:
                        continue
                    step[middle] = found
                    if hops > 2:
                        path[hops - 1], step[hops - 1] = y, tail[c]
                    total = score[step[0]]
                    for h in range(1, hops):
                        total += score[step[h]]
                    mean = total / np.float32(hops)
                    at = top
                    while at > 0 and _before(mean, path, scores[b, at - 1], nodes[b, at - 1]):
                        if at < top:
                            scores[b, at] = scores[b, at - 1]
                            nodes[b, at], position[b, at] = nodes[b, at - 1], position[b, at - 1]
                        at -= 1
                    if at < top:
                        scores[b, at] = mean
                        nodes[b, at], position[b, at] = path, step


def paths(csr: SegmentedCSR, question: Question) -> tuple[Tensor, Tensor, Tensor]:
    """Return the best instances; see :func:`graphrec_pt.kernels.paths.paths`."""
    rows, hops = len(question.source), len(question.slots)
    nodes = np.full((rows, question.top, hops + 1), -1, np.int64)
    position = np.full((rows, question.top, hops), -1, np.int64)
    scores = np.full((rows, question.top), -np.inf, np.float32)
    _paths(
        arrays(csr),
        array(question.best),
        array(question.targets),
        array(question.order),
        array(question.edge),
        array(question.score),
        array(question.source),
        array(question.target),
        array(question.exclude),
        np.array(question.slots, np.int64),
        question.back,
        question.cap,
        nodes,
        position,
        scores,
    )
    return torch.from_numpy(nodes), torch.from_numpy(position), torch.from_numpy(scores)

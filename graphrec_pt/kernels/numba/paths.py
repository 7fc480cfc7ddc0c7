"""Paths in compiled loops: best instances met in the middle, and constrained walks in blocks."""

from typing import Any

import numpy as np
import torch
from numba import prange
from torch import Tensor

from graphrec_pt.kernels.csr import SegmentedCSR
from graphrec_pt.kernels.numba.compile import inlined, kernel, thread_count
from graphrec_pt.kernels.numba.philox import below, four_words, unsigned
from graphrec_pt.kernels.numba.segments import (
    array,
    arrays,
    lower_bound,
    node_bounds,
    node_segments,
)
from graphrec_pt.kernels.paths import PATH_SHIFT, TRY_SHIFT, Constrained, Question


@kernel()
def _expand(
    csr: Any, best: Any, edge: Any, node: Any, slot: Any, exclude: Any, taboo: Any, result: Any
) -> Any:
    """Write the best distinct neighbours into `result`; return how many."""
    first, _ = node_segments(csr, node)
    count = 0
    for place in range(csr.segment[first + slot], csr.segment[first + slot + 1]):
        if count == result.shape[0]:
            break
        v = np.int64(csr.indices[best[place]])
        fresh = v != taboo[0] and v != taboo[1] and v != taboo[2]
        if edge.shape[0] > 0:
            fresh = fresh and edge[best[place]] != exclude
        for i in range(count):
            fresh = fresh and result[i] != v
        if fresh:
            result[count] = v
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
    result = np.int64(-1)
    while place < end and targets[place] == target:
        position = order[place]
        allowed = edge.shape[0] == 0 or edge[position] != exclude
        if allowed and (result < 0 or score[position] > score[result]):
            result = position
        place += 1
    return result


@inlined
def _before(score: Any, path: Any, other: Any, nodes: Any) -> Any:
    """Return whether an instance goes before another: by falling score, then by nodes."""
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
                    result = _join(
                        csr, targets, order, edge, score, path[middle], slots[middle], y, exclude
                    )
                    if result < 0:
                        continue
                    step[middle] = result
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


BLOCK = 32  # walks in flight per thread


@kernel()
def _hop(
    csr: Any,
    through: Any,
    edge: Any,
    exclude: Any,
    start: Any,
    end: Any,
    own: Any,
    hop: Any,
    hops: Any,
    active: Any,
    bits: Any,
    node: Any,
    place: Any,
    alive: Any,
) -> None:
    """Take hop number `hop` of every walk in flight."""
    for i in range(active):
        low, high = start, end
        if hop > 0 and alive[i]:
            low, high = node_bounds(csr, node[i, hop])
        # A refused walk stands still; no branch, so that the loads of the others overlap.
        alive[i] = alive[i] and high > low
        place[i, hop] = low + below(bits[i, hop], high - low) if alive[i] else 0
    for i in range(active):
        if not alive[i]:
            continue
        v = np.int64(csr.indices[place[i, hop]])
        node[i, hop + 1] = v
        fits = own[v] if hop == hops - 1 else True
        for h in range(hop + 1):
            fits = fits and node[i, h] != v
        if edge.shape[0] > 0:
            fits = fits and edge[place[i, hop]] != exclude
        if fits and 0 < hop < hops - 1:
            kind = 0
            while v >= csr.offset[kind + 1]:
                kind += 1
            fits = through[kind]
        alive[i] = fits


@kernel(parallel=True)
def _sample(
    csr: Any,
    words: Any,
    roots: Any,
    starts: Any,
    ends: Any,
    excludes: Any,
    through: Any,
    edge: Any,
    tries: Any,
    workers: Any,
    nodes: Any,
    position: Any,
) -> None:
    many, hops = position.shape[1], position.shape[2]
    for worker in prange(workers):
        own = np.zeros(csr.offset[csr.offset.shape[0] - 1], np.bool_)
        bits = np.empty((BLOCK, 8), np.uint32)
        node, place = np.empty((BLOCK, hops + 1), np.int64), np.empty((BLOCK, hops), np.int64)
        path, attempt = np.empty(BLOCK, np.int64), np.empty(BLOCK, np.int64)
        alive = np.empty(BLOCK, np.bool_)
        for b in range(worker, roots.shape[0], workers):
            root, start, end, exclude = roots[b], starts[b], ends[b], excludes[b]
            different = 0
            for e in range(start, end):
                v = csr.indices[e]
                if not own[v] and (edge.shape[0] == 0 or edge[e] != exclude):
                    own[v] = True
                    different += 1
            active = min(BLOCK, many)
            if different < 2:
                active = 0  # no walk ends in another of the root's items
            following = active
            for i in range(active):
                path[i], attempt[i] = i, 0
            while active > 0:
                for i in range(active):
                    block = path[i] << PATH_SHIFT | attempt[i] << TRY_SHIFT
                    w = four_words(words, root, block)
                    bits[i, 0], bits[i, 1], bits[i, 2], bits[i, 3] = w
                    if hops > 4:
                        w = four_words(words, root, block + 1)
                        bits[i, 4], bits[i, 5], bits[i, 6], bits[i, 7] = w
                    node[i, 0], alive[i] = root, True
                for hop in range(hops):
                    _hop(
                        csr, through, edge, exclude, start, end, own, hop, hops, active, bits,
                        node, place, alive,
                    )  # fmt: skip
                i = 0
                while i < active:
                    attempt[i] += 1
                    if alive[i]:
                        for h in range(hops):
                            nodes[b, path[i], h] = node[i, h]
                            position[b, path[i], h] = place[i, h]
                        nodes[b, path[i], hops] = node[i, hops]
                    if alive[i] or attempt[i] == tries:
                        if following < many:
                            path[i], attempt[i] = following, 0
                            following += 1
                        else:  # the last walk takes this place
                            active -= 1
                            path[i], attempt[i] = path[active], attempt[active]
                            alive[i] = alive[active]
                            for h in range(hops):
                                node[i, h + 1] = node[active, h + 1]
                                place[i, h] = place[active, h]
                            continue
                    i += 1
            for e in range(start, end):
                own[csr.indices[e]] = False


def constrained_paths(csr: SegmentedCSR, question: Constrained) -> tuple[Tensor, Tensor]:
    """Sample paths; see :func:`graphrec_pt.kernels.paths.constrained_paths`."""
    rows, many, hops = len(question.roots), question.many, question.hops
    nodes = np.full((rows, many, hops + 1), -1, np.int64)
    position = np.full((rows, many, hops), -1, np.int64)
    _sample(
        arrays(csr),
        unsigned(question.words),
        array(question.roots),
        array(question.start),
        array(question.end),
        array(question.exclude),
        array(question.through),
        array(question.edge),
        question.tries,
        thread_count(),
        nodes,
        position,
    )
    return torch.from_numpy(nodes), torch.from_numpy(position)

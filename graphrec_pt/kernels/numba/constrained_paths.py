"""Constrained paths: each root walks a block of paths together, so that cache misses overlap."""

from typing import Any

import numpy as np
import torch
from numba import prange
from torch import Tensor

from graphrec_pt.kernels.constrained_paths import PATH_SHIFT, TRY_SHIFT, Constrained
from graphrec_pt.kernels.csr import SegmentedCSR
from graphrec_pt.kernels.numba.compile import kernel
from graphrec_pt.kernels.numba.philox import below, four_words, unsigned
from graphrec_pt.kernels.numba.segments import array, arrays, node_bounds
from graphrec_pt.kernels.numba.threads import thread_count

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
                active = 0  # no walk ends in another own item
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
    """Sample paths; see :func:`graphrec_pt.kernels.constrained_paths.constrained_paths`."""
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

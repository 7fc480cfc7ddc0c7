"""Forward push, one root per thread at a time over dense scratch; only touched nodes are wiped."""

from typing import Any

import numpy as np
import torch
from numba import prange
from torch import Tensor

from graphrec_pt.kernels.csr import SegmentedCSR
from graphrec_pt.kernels.numba.compile import inlined, kernel, thread_count
from graphrec_pt.kernels.numba.segments import array, arrays, node_bounds
from graphrec_pt.kernels.ppr import ALPHA_BITS, ONE

_LOW = (1 << ALPHA_BITS) - 1
_UNCOUNTED = 3  # more than a node can have: an excluded id stands for an edge and its inverse


@inlined
def _fraction(mass: Any, stop: Any) -> Any:
    """Return ``floor(mass · stop / 2**ALPHA_BITS)`` without leaving 64 bits."""
    return (mass >> ALPHA_BITS) * stop + ((mass & _LOW) * stop >> ALPHA_BITS)


@inlined
def _keep(nodes: Any, masses: Any, node: Any, mass: Any) -> None:
    """Insert a node into the best so far: by falling mass, equal ones by id."""
    at = nodes.shape[0] - 1
    if mass < masses[at] or (mass == masses[at] and node > nodes[at]):
        return
    while at > 0 and (mass > masses[at - 1] or (mass == masses[at - 1] and node < nodes[at - 1])):
        nodes[at], masses[at] = nodes[at - 1], masses[at - 1]
        at -= 1
    nodes[at], masses[at] = node, mass


@inlined
def _count(
    csr: Any, edge: Any, start: Any, end: Any, node: Any, banned: Any, cut: Any, other: Any
) -> None:
    """Count the excluded edges of a node; after the first one, only its other end can have more."""
    cut[node] = 0
    if other[0] < 0 or other[0] == node:
        for e in range(start[node], end[node]):
            if edge[e] == banned:
                cut[node] += 1
                other[0] = csr.indices[e]


@kernel(parallel=True)
def _ppr(
    csr: Any,
    roots: Any,
    stop: Any,
    least: Any,
    edge: Any,
    exclude: Any,
    workers: Any,
    nodes: Any,
    masses: Any,
) -> None:
    # Numba leaves the branches of ``exclude is not None`` out where it is None.
    n = csr.offset[csr.offset.shape[0] - 1]
    start, end = np.empty(n, np.int64), np.empty(n, np.int64)
    limit = np.empty(n, np.int64)
    for u in prange(n):
        start[u], end[u] = node_bounds(csr, u)
        limit[u] = least * min(end[u] - start[u], (1 << 62) // least)
    for worker in prange(workers):
        residual, estimate = np.zeros(n, np.int64), np.zeros(n, np.int64)
        known = np.zeros(n, np.bool_)
        touched = np.empty(n, np.int64)  # nodes with an estimate or a residual
        now, later = np.empty(n, np.int64), np.empty(n, np.int64)
        given = np.empty(n, np.int64)
        if exclude is not None:
            cut = np.full(n, _UNCOUNTED, np.int8)  # excluded edges at each node
            other = np.empty(1, np.int64)  # the other end of the first one found, −1 before
        for b in range(worker, roots.shape[0], workers):
            root = roots[b]
            residual[root] = ONE
            known[root] = True
            touched[0], now[0] = root, root
            seen, active = 1, 1
            if exclude is not None:
                banned = exclude[b]
                other[0] = -1 if banned >= 0 else n  # n: no edge is excluded
                _count(csr, edge, start, end, root, banned, cut, other)
            while active > 0:
                # First take every mass, then hand it on: a round sees only older residuals.
                for i in range(active):
                    u = now[i]
                    mass, degree = residual[u], end[u] - start[u]
                    if exclude is not None:
                        degree -= cut[u]
                    residual[u] = 0
                    given[i] = (mass - _fraction(mass, stop)) // max(degree, 1)
                    estimate[u] += mass - given[i] * degree
                soon = 0
                for i in range(active):
                    u, share = now[i], given[i]
                    for e in range(start[u], end[u]):
                        if exclude is not None and cut[u] > 0 and edge[e] == banned:
                            continue
                        v = csr.indices[e]
                        before, enough = residual[v], limit[v]
                        residual[v] = before + share
                        if exclude is not None:
                            # Where excluded edges are not counted yet: count, then compare again.
                            enough = max(limit[v] - cut[v] * least, 0)
                            if cut[v] == _UNCOUNTED and before <= enough < before + share:
                                _count(csr, edge, start, end, v, banned, cut, other)
                                enough = limit[v] - cut[v] * least
                        if before <= enough < before + share:
                            later[soon] = v
                            soon += 1
                        if before == 0 and not known[v]:
                            known[v] = True
                            touched[seen] = v
                            seen += 1
                now, later, active = later, now, soon
            for i in range(seen):
                u = touched[i]
                mass = estimate[u] + _fraction(residual[u], stop)  # what certainly ends here
                if mass > 0:
                    _keep(nodes[b], masses[b], u, mass)
                residual[u], estimate[u], known[u] = 0, 0, False
                if exclude is not None:
                    cut[u] = _UNCOUNTED


def ppr(
    csr: SegmentedCSR, roots: Tensor, k: int, stop: int, least: int, exclude: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Return top-k nodes and masses; see :func:`graphrec_pt.kernels.ppr.ppr`."""
    nodes, masses = np.full((len(roots), k), -1, np.int64), np.zeros((len(roots), k), np.int64)
    workers = thread_count()
    edge = banned = None
    if exclude is not None and csr.edge is not None:
        edge, banned = array(csr.edge), array(exclude)
    _ppr(arrays(csr), array(roots), stop, least, edge, banned, workers, nodes, masses)
    return torch.from_numpy(nodes), torch.from_numpy(masses)

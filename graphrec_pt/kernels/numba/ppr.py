"""Forward push, one root per thread at a time over dense scratch; only touched nodes are wiped."""

from typing import Any

import numba
import numpy as np
import torch
from numba import prange
from torch import Tensor

from graphrec_pt.kernels.csr import SegmentedCSR
from graphrec_pt.kernels.numba.compile import inlined, kernel
from graphrec_pt.kernels.numba.segments import array, arrays, node_bounds
from graphrec_pt.kernels.ppr import ALPHA_BITS, ONE

_LOW = (1 << ALPHA_BITS) - 1


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


@kernel(parallel=True)
def _ppr(
    csr: Any, roots: Any, stop: Any, least: Any, workers: Any, nodes: Any, masses: Any
) -> None:
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
        for b in range(worker, roots.shape[0], workers):
            root = roots[b]
            residual[root] = ONE
            known[root] = True
            touched[0], now[0] = root, root
            seen, active = 1, 1
            while active > 0:
                # First take every mass, then hand it on: a round sees only older residuals.
                for i in range(active):
                    u = now[i]
                    mass, degree = residual[u], end[u] - start[u]
                    residual[u] = 0
                    given[i] = (mass - _fraction(mass, stop)) // max(degree, 1)
                    estimate[u] += mass - given[i] * degree
                soon = 0
                for i in range(active):
                    u, share = now[i], given[i]
                    for e in range(start[u], end[u]):
                        v = csr.indices[e]
                        before = residual[v]
                        residual[v] = before + share
                        if before <= limit[v] < before + share:
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


def ppr(csr: SegmentedCSR, roots: Tensor, k: int, stop: int, least: int) -> tuple[Tensor, Tensor]:
    """Return top-k nodes and masses; see :func:`graphrec_pt.kernels.torch.ppr.ppr`."""
    nodes, masses = np.full((len(roots), k), -1, np.int64), np.zeros((len(roots), k), np.int64)
    workers = numba.get_num_threads()
    _ppr(arrays(csr), array(roots), stop, least, workers, nodes, masses)
    return torch.from_numpy(nodes), torch.from_numpy(masses)

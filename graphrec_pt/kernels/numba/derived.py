"""Sorted targets and running weights in compiled loops."""

from typing import Any

import numpy as np
import torch
from numba import prange
from torch import Tensor

from graphrec_pt.kernels.csr import SegmentedCSR
from graphrec_pt.kernels.numba.compile import kernel
from graphrec_pt.kernels.numba.segments import array


@kernel(parallel=True)
def _add_up(start: Any, weight: Any, out: Any) -> None:
    for u in prange(start.shape[0] - 1):
        total = 0.0
        for e in range(start[u], start[u + 1]):
            total += np.float64(weight[e])
            out[e] = total


def cumulative_weight(csr: SegmentedCSR) -> Tensor:
    """Return float64 ``[E]``; see :func:`graphrec_pt.kernels.derived.cumulative_weight`."""
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
    """Return edges by (segment, target); see :func:`graphrec_pt.kernels.derived`."""
    out = np.empty(csr.num_edges, np.int64)
    _sort(csr.segment.contiguous().numpy(), csr.indices.contiguous().numpy(), out)
    return torch.from_numpy(out)

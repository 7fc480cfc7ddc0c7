"""Order of targets inside segments: one small stable sort each, segments in parallel."""

from typing import Any

import numpy as np
import torch
from numba import prange
from torch import Tensor

from graphrec_pt.kernels.csr import SegmentedCSR
from graphrec_pt.kernels.numba.compile import kernel


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
    """Return edges by (segment, target); see :func:`graphrec_pt.kernels.sorted_targets`."""
    out = np.empty(csr.num_edges, np.int64)
    _sort(csr.segment.contiguous().numpy(), csr.indices.contiguous().numpy(), out)
    return torch.from_numpy(out)

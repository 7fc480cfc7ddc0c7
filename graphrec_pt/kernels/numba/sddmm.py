"""One dot product per entry, rows in parallel."""

from typing import Any

import numpy as np
import torch
from numba import prange
from torch import Tensor

from graphrec_pt.kernels.numba.compile import kernel
from graphrec_pt.kernels.numba.segments import array


@kernel(parallel=True, reorder=True)
def _sddmm(ptr: Any, indices: Any, left: Any, right: Any, out: Any) -> None:
    for i in prange(ptr.shape[0] - 1):
        for e in range(ptr[i], ptr[i + 1]):
            j, total = indices[e], out.dtype.type(0)
            for d in range(left.shape[1]):  # faster than np.dot, which calls BLAS for each entry
                total += left[i, d] * right[j, d]
            out[e] = total


def sddmm(ptr: Tensor, indices: Tensor, left: Tensor, right: Tensor) -> Tensor:
    """Dot the two ends of every entry; see :func:`graphrec_pt.kernels.sparse.sddmm`."""
    rows = array(left)
    out = np.empty(len(indices), rows.dtype)
    _sddmm(array(ptr), array(indices), rows, array(right), out)
    return torch.from_numpy(out)

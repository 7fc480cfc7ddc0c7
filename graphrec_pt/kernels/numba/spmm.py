"""Sparse times dense, rows in parallel."""

from typing import Any

import numpy as np
import torch
from numba import prange
from torch import Tensor

from graphrec_pt.kernels.numba.compile import kernel
from graphrec_pt.kernels.numba.segments import array


@kernel(parallel=True)
def _spmm(ptr: Any, indices: Any, values: Any, dense: Any, out: Any) -> None:
    for i in prange(out.shape[0]):
        for d in range(out.shape[1]):
            out[i, d] = 0
        for e in range(ptr[i], ptr[i + 1]):
            value, j = values[e], indices[e]
            for d in range(out.shape[1]):
                out[i, d] += value * dense[j, d]


def spmm(ptr: Tensor, indices: Tensor, values: Tensor | None, dense: Tensor) -> Tensor:
    """Sum each row's neighbours; see :func:`graphrec_pt.kernels.sparse.spmm`."""
    rows = array(dense)
    out = np.empty((len(ptr) - 1, dense.shape[1]), rows.dtype)
    ones = np.broadcast_to(np.ones(1, rows.dtype), len(indices))
    scale = np.ascontiguousarray(ones) if values is None else array(values)
    _spmm(array(ptr), array(indices), scale, rows, out)
    return torch.from_numpy(out)

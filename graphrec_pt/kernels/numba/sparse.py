"""Sparse times dense in compiled loops, rows in parallel."""

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


@kernel(parallel=True)
def _softmax(ptr: Any, scores: Any, out: Any) -> None:
    for i in prange(ptr.shape[0] - 1):
        start, end = ptr[i], ptr[i + 1]
        if start == end:
            continue
        for h in range(scores.shape[1]):
            top = scores[start, h]
            for e in range(start + 1, end):
                top = max(top, scores[e, h])
            total = scores.dtype.type(0)
            for e in range(start, end):
                out[e, h] = np.exp(scores[e, h] - top)
                total += out[e, h]
            for e in range(start, end):
                out[e, h] /= total


def segment_softmax(ptr: Tensor, scores: Tensor) -> Tensor:
    """Normalise scores; see :func:`graphrec_pt.kernels.sparse.segment_softmax`."""
    entries = array(scores)
    out = np.empty_like(entries)
    _softmax(array(ptr), entries, out)
    return torch.from_numpy(out)

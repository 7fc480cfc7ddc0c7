"""Softmax of segments, rows in parallel."""

from typing import Any

import numpy as np
import torch
from numba import prange
from torch import Tensor

from graphrec_pt.kernels.numba.compile import kernel
from graphrec_pt.kernels.numba.segments import array


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
    """Normalise scores; see :func:`graphrec_pt.kernels.segment_softmax.segment_softmax`."""
    entries = array(scores)
    out = np.empty_like(entries)
    _softmax(array(ptr), entries, out)
    return torch.from_numpy(out)

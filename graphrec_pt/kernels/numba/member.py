"""Membership: blocks of binary searches that advance together."""

from typing import Any

import numpy as np
import torch
from numba import prange
from torch import Tensor

from graphrec_pt.kernels.csr import SegmentedCSR
from graphrec_pt.kernels.numba.compile import kernel
from graphrec_pt.kernels.numba.segments import (
    array,
    arrays,
    lower_bound,
    lower_bounds,
    node_segments,
)

BLOCK = 64  # searches in flight per thread: enough to overlap the cache misses


@kernel(parallel=True)
def _member(csr: Any, targets: Any, source: Any, slot: Any, target: Any, out: Any) -> None:
    blocks = (source.shape[0] + BLOCK - 1) // BLOCK
    for b in prange(blocks):
        first = b * BLOCK
        size = min(BLOCK, source.shape[0] - first)
        low, left = np.empty(BLOCK, np.int64), np.empty(BLOCK, np.int64)
        end = np.empty(BLOCK, np.int64)
        value = np.empty(BLOCK, np.int64)
        for i in range(size):
            segment, count = node_segments(csr, source[first + i])
            k = slot[first + i]
            low[i] = csr.segment[segment + max(k, 0)]
            # Every relation: one search per segment below, none here.
            end[i] = csr.segment[segment + k + 1] if k >= 0 else low[i]
            left[i] = end[i] - low[i]
            value[i] = target[first + i]
        lower_bounds(targets, low, left, value, size)
        for i in range(size):
            out[first + i] = low[i] < end[i] and targets[low[i]] == target[first + i]
            if slot[first + i] < 0:
                segment, count = node_segments(csr, source[first + i])
                for k in range(count):
                    stop = csr.segment[segment + k + 1]
                    at = lower_bound(targets, csr.segment[segment + k], stop, target[first + i])
                    if at < stop and targets[at] == target[first + i]:
                        out[first + i] = True
                        break


def member(
    csr: SegmentedCSR, targets: Tensor, source: Tensor, slot: Tensor, target: Tensor
) -> Tensor:
    """Say whether edges exist; see :func:`graphrec_pt.kernels.member.member`."""
    out = np.empty(len(source), np.bool_)
    _member(arrays(csr), array(targets), array(source), array(slot), array(target), out)
    return torch.from_numpy(out)

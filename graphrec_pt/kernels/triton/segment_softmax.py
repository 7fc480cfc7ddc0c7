"""Softmax of segments: one program per row and head, three passes over its entries."""

import torch
import triton
import triton.language as tl
from torch import Tensor

BLOCK = 128


@triton.jit  # type: ignore[untyped-decorator]
def _softmax(
    ptr: tl.tensor, scores: tl.tensor, out: tl.tensor, heads: tl.tensor, size: tl.constexpr
) -> None:
    i, h = tl.program_id(0), tl.program_id(1)
    start, end = tl.load(ptr + i), tl.load(ptr + i + 1)
    lane = tl.arange(0, size)
    top = tl.full((size,), float("-inf"), out.dtype.element_ty)
    for first in range(start, end, size):
        e = first + lane
        at = scores + e * heads + h
        top = tl.maximum(top, tl.load(at, mask=e < end, other=float("-inf")))
    highest = tl.max(top, axis=0)
    total = tl.zeros((size,), out.dtype.element_ty)
    for first in range(start, end, size):
        e = first + lane
        score = tl.load(scores + e * heads + h, mask=e < end, other=float("-inf"))
        total += tl.exp(score - highest)
    whole = tl.sum(total, axis=0)
    for first in range(start, end, size):
        e = first + lane
        score = tl.load(scores + e * heads + h, mask=e < end, other=0.0)
        tl.store(out + e * heads + h, tl.exp(score - highest) / whole, mask=e < end)


def segment_softmax(ptr: Tensor, scores: Tensor) -> Tensor:
    """Normalise scores; see :func:`graphrec_pt.kernels.segment_softmax.segment_softmax`."""
    entries = scores.contiguous()
    out = torch.empty_like(entries)
    if out.numel():
        _softmax[(len(ptr) - 1, scores.shape[1])](
            ptr.contiguous(), entries, out, scores.shape[1], BLOCK, enable_fp_fusion=False
        )
    return out

"""Sparse times dense on a GPU: a program per row, or per row and block of columns."""

import torch
import triton
import triton.language as tl
from torch import Tensor

SPMM_BLOCK = 64


@triton.jit  # type: ignore[untyped-decorator]
def _spmm(
    ptr: tl.tensor,
    indices: tl.tensor,
    values: tl.tensor,
    dense: tl.tensor,
    out: tl.tensor,
    width: tl.tensor,
    weighted: tl.constexpr,
    size: tl.constexpr,
) -> None:
    i = tl.program_id(0).to(tl.int64)
    d = tl.program_id(1) * size + tl.arange(0, size)
    inside = d < width
    total = tl.zeros((size,), out.dtype.element_ty)
    for e in range(tl.load(ptr + i), tl.load(ptr + i + 1)):
        j = tl.load(indices + e).to(tl.int64)
        message = tl.load(dense + j * width + d, mask=inside, other=0.0)
        total += message * tl.load(values + e) if weighted else message
    tl.store(out + i * width + d, total, mask=inside)


def spmm(ptr: Tensor, indices: Tensor, values: Tensor | None, dense: Tensor) -> Tensor:
    """Sum each row's neighbours; see :func:`graphrec_pt.kernels.sparse.spmm`."""
    width = dense.shape[1]
    out = dense.new_empty(len(ptr) - 1, width)  # [M, D]
    if out.numel():
        scale = dense if values is None else values.contiguous()
        _spmm[(len(out), triton.cdiv(width, SPMM_BLOCK))](
            ptr.contiguous(),
            indices.contiguous(),
            scale,
            dense.contiguous(),
            out,
            width,
            values is not None,
            SPMM_BLOCK,
            enable_fp_fusion=False,
        )
    return out


SDDMM_BLOCK = 64


@triton.jit  # type: ignore[untyped-decorator]
def _sddmm(
    ptr: tl.tensor,
    indices: tl.tensor,
    left: tl.tensor,
    right: tl.tensor,
    out: tl.tensor,
    width: tl.tensor,
    size: tl.constexpr,
) -> None:
    i = tl.program_id(0).to(tl.int64)
    lane = tl.arange(0, size)
    for e in range(tl.load(ptr + i), tl.load(ptr + i + 1)):
        j = tl.load(indices + e).to(tl.int64)
        total = tl.zeros((size,), out.dtype.element_ty)
        for first in range(0, width, size):
            d = first + lane
            a = tl.load(left + i * width + d, mask=d < width, other=0.0)
            b = tl.load(right + j * width + d, mask=d < width, other=0.0)
            total += a * b
        tl.store(out + e, tl.sum(total, axis=0))


def sddmm(ptr: Tensor, indices: Tensor, left: Tensor, right: Tensor) -> Tensor:
    """Dot the two ends of every entry; see :func:`graphrec_pt.kernels.sparse.sddmm`."""
    out = left.new_empty(len(indices))  # [E]
    if len(indices):
        _sddmm[(len(ptr) - 1,)](
            ptr.contiguous(),
            indices.contiguous(),
            left.contiguous(),
            right.contiguous(),
            out,
            left.shape[1],
            SDDMM_BLOCK,
            enable_fp_fusion=False,
        )
    return out


SOFTMAX_BLOCK = 128


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
    """Normalise scores; see :func:`graphrec_pt.kernels.sparse.segment_softmax`."""
    entries = scores.contiguous()
    out = torch.empty_like(entries)
    if out.numel():
        _softmax[(len(ptr) - 1, scores.shape[1])](
            ptr.contiguous(), entries, out, scores.shape[1], SOFTMAX_BLOCK, enable_fp_fusion=False
        )
    return out

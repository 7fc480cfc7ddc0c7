"""Sparse times dense: one program per row and block of columns."""

import triton
import triton.language as tl
from torch import Tensor

BLOCK = 64


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
        _spmm[(len(out), triton.cdiv(width, BLOCK))](
            ptr.contiguous(),
            indices.contiguous(),
            scale,
            dense.contiguous(),
            out,
            width,
            values is not None,
            BLOCK,
            enable_fp_fusion=False,
        )
    return out

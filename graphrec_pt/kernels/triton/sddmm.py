"""One dot product per entry: one program per row."""

import triton
import triton.language as tl
from torch import Tensor

BLOCK = 64


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
            BLOCK,
            enable_fp_fusion=False,
        )
    return out

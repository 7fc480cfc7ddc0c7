"""Sampled dense-dense product over a CSR, with gradients: one number per edge."""

from typing import Any

import torch
from torch import Tensor

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.kernels.dispatch import body
from graphrec_pt.kernels.spmm import check_sparse, spmm
from graphrec_pt.kernels.transposed import transposed


def sddmm(ptr: Tensor, indices: Tensor, left: Tensor, right: Tensor) -> Tensor:
    """Dot the two ends of every entry: ``out[e] = left[row(e)] · right[indices[e]]``.

    Args:
        ptr: int64 ``[M+1]``, ascending from 0 to E.
        indices: int32 or int64 ``[E]``, columns in ``[0, N)``.
        left: float32 or float64 ``[M, D]``.
        right: ``[N, D]`` of the same type.

    Returns:
        ``[E]`` of that type; differentiable, also twice, in `left` and `right`.

    Raises:
        GraphRecError: For shapes or types that do not fit, and columns outside `right`.
    """
    check_sparse("sddmm", ptr, indices, right)
    rows = (len(ptr) - 1, right.shape[1])
    if tuple(left.shape) != rows or left.dtype != right.dtype:
        raise GraphRecError(
            "sddmm", f"left {right.dtype} {list(rows)}", f"{left.dtype} {list(left.shape)}"
        )
    out: Tensor = _Sddmm.apply(ptr, indices, left, right)  # type: ignore[no-untyped-call]
    return out


class _Sddmm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, ptr: Tensor, indices: Tensor, left: Tensor, right: Tensor) -> Tensor:
        ctx.save_for_backward(ptr, indices, left, right)
        out: Tensor = body("sddmm", left)(ptr, indices, left, right)
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        ptr, indices, left, right = ctx.saved_tensors
        (grad,) = grads
        grad_left = grad_right = None
        if ctx.needs_input_grad[2]:
            grad_left = spmm(ptr, indices, grad, right)
        if ctx.needs_input_grad[3]:
            back = transposed(ptr, indices, len(right))
            grad_right = spmm(back.ptr, back.row, grad.index_select(0, back.edge), left)
        return None, None, grad_left, grad_right

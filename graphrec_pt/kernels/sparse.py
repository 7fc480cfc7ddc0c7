"""Sparse matrices in CSR form times dense ones, with gradients: spmm, sddmm and segment softmax."""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.core.memo import Memo
from graphrec_pt.kernels.dispatch import body

_transposes: Memo["Transposed"] = Memo()  # of the indices


class Transposed(NamedTuple):
    """Entries by (column, row): entry *i* of the transpose is entry ``edge[i]`` of the matrix."""

    ptr: Tensor  # int64 [N+1]
    row: Tensor  # int64 [E]
    edge: Tensor  # int64 [E]


def transposed(ptr: Tensor, indices: Tensor, columns: int) -> Transposed:
    """Return the transpose, built once and kept while `indices` lives.

    Args:
        ptr: int64 ``[M+1]``, where each row starts.
        indices: int32 or int64 ``[E]``, columns below `columns`.
        columns: N.
    """

    def made() -> Transposed:
        edge = torch.sort(indices, stable=True).indices
        count = torch.bincount(indices, minlength=columns)
        start = torch.cat([count.new_zeros(1), count.cumsum(0)])
        return Transposed(start, owners(ptr, len(indices))[edge], edge)

    return _transposes(indices, columns, made, given=(ptr,))


def owners(ptr: Tensor, entries: int) -> Tensor:
    """Return the row of every entry: int64 ``[E]``."""
    rows = torch.arange(len(ptr) - 1, device=ptr.device)
    return rows.repeat_interleave(ptr.diff(), output_size=entries)


_FLOATS = (torch.float32, torch.float64)


def spmm(ptr: Tensor, indices: Tensor, values: Tensor | None, dense: Tensor) -> Tensor:
    """Sum each row's neighbours: ``out[i] = Σ_{e in row i} values[e] · dense[indices[e]]``.

    Rows are any consecutive ranges of entries: ``csr.segment`` gives one row per (node, relation)
    slot, :func:`node_rows` one per node.

    Args:
        ptr: int64 ``[M+1]``, ascending from 0 to E.
        indices: int32 or int64 ``[E]``, columns in ``[0, N)``.
        values: Floats ``[E]``, or None for ones.
        dense: float32 or float64 ``[N, D]``.

    Returns:
        ``[M, D]`` of the type of `dense`; differentiable, also twice, in `values` and `dense`.

    Raises:
        GraphRecError: For shapes or types that do not fit, and columns outside `dense`.
    """
    check_sparse("spmm", ptr, indices, dense)
    if values is not None and (values.shape != indices.shape or values.dtype != dense.dtype):
        raise GraphRecError(
            "spmm",
            f"values {dense.dtype} [{len(indices)}]",
            f"{values.dtype} {list(values.shape)}",
        )
    out: Tensor = _Spmm.apply(ptr, indices, values, dense)  # type: ignore[no-untyped-call]
    return out


def check_sparse(who: str, ptr: Tensor, indices: Tensor, dense: Tensor) -> None:
    """Raise unless (ptr, indices) is a CSR whose columns are rows of `dense` ``[N, D]``."""
    if dense.ndim != 2 or dense.dtype not in _FLOATS:
        raise GraphRecError(who, "float32 or float64 [N, D]", f"{dense.dtype} {list(dense.shape)}")
    check_ptr(who, ptr, len(indices))
    if len(indices):
        low, high = (int(bound) for bound in torch.aminmax(indices))
        if low < 0 or high >= len(dense):
            raise GraphRecError(who, f"columns in [0, {len(dense)})", low if low < 0 else high)


def check_ptr(who: str, ptr: Tensor, entries: int) -> None:
    """Raise unless `ptr` ascends from 0 to the number of entries."""
    ascends = ptr.ndim == 1 and len(ptr) > 0 and not bool((ptr[1:] < ptr[:-1]).any())
    if not ascends or int(ptr[0]) != 0 or int(ptr[-1]) != entries:
        raise GraphRecError(who, f"ptr ascending from 0 to {entries}", list(ptr.shape))


class _Spmm(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, ptr: Tensor, indices: Tensor, values: Tensor | None, dense: Tensor
    ) -> Tensor:
        ctx.save_for_backward(ptr, indices, values, dense)
        out: Tensor = body("sparse.spmm", dense)(ptr, indices, values, dense)
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:

        ptr, indices, values, dense = ctx.saved_tensors
        (grad,) = grads
        grad_values = grad_dense = None
        if ctx.needs_input_grad[2]:
            grad_values = sddmm(ptr, indices, grad, dense)
        if ctx.needs_input_grad[3]:
            back = transposed(ptr, indices, len(dense))
            scale = None if values is None else values.index_select(0, back.edge)
            grad_dense = spmm(back.ptr, back.row, scale, grad)
        return None, None, grad_values, grad_dense


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
        out: Tensor = body("sparse.sddmm", left)(ptr, indices, left, right)
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


def segment_softmax(ptr: Tensor, scores: Tensor) -> Tensor:
    """Normalise scores over each row: ``out[e] = exp(s[e]) / Σ_{f in row(e)} exp(s[f])``.

    Args:
        ptr: int64 ``[M+1]``, ascending from 0 to E.
        scores: float32 or float64 ``[E]`` or ``[E, H]`` (heads).

    Returns:
        Of the shape and type of `scores`; differentiable, also twice.

    Raises:
        GraphRecError: For shapes or types that do not fit.
    """
    if scores.ndim not in (1, 2) or scores.dtype not in (torch.float32, torch.float64):
        raise GraphRecError(
            "segment_softmax",
            "float32 or float64 scores [E] or [E, H]",
            f"{scores.dtype} {list(scores.shape)}",
        )
    check_ptr("segment_softmax", ptr, len(scores))
    by_head = scores if scores.ndim == 2 else scores.unsqueeze(1)  # [E, H]
    shares: Tensor = _SegmentSoftmax.apply(ptr, by_head)  # type: ignore[no-untyped-call]
    return shares.view(scores.shape)


class _SegmentSoftmax(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, ptr: Tensor, scores: Tensor) -> Tensor:
        out: Tensor = body("sparse.segment_softmax", scores)(ptr, scores)
        ctx.save_for_backward(ptr, out)
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        ptr, share = ctx.saved_tensors
        weighted = share * grads[0]  # [E, H]
        entry = torch.arange(len(share), device=share.device)
        total = spmm(ptr, entry, None, weighted)  # [M, H]
        return None, weighted - share * total[owners(ptr, len(share))]


def torch_spmm(ptr: Tensor, indices: Tensor, values: Tensor | None, dense: Tensor) -> Tensor:
    """Sum each row's neighbours; see :func:`graphrec_pt.kernels.sparse.spmm`."""
    message = dense[indices]  # [E, D]
    if values is not None:
        message = message * values.unsqueeze(1)
    out = dense.new_zeros(len(ptr) - 1, dense.shape[1])  # [M, D]
    return out.index_add_(0, owners(ptr, len(indices)), message)


def torch_sddmm(ptr: Tensor, indices: Tensor, left: Tensor, right: Tensor) -> Tensor:
    """Dot the two ends of every entry; see :func:`graphrec_pt.kernels.sparse.sddmm`."""
    return (left[owners(ptr, len(indices))] * right[indices]).sum(-1)  # [E]


def torch_segment_softmax(ptr: Tensor, scores: Tensor) -> Tensor:
    """Normalise scores; see :func:`graphrec_pt.kernels.sparse.segment_softmax`."""
    row = owners(ptr, len(scores))  # [E]
    shape = (len(ptr) - 1, scores.shape[1])
    spread = row.unsqueeze(1).expand_as(scores)
    top = scores.new_zeros(shape).scatter_reduce(0, spread, scores, "amax", include_self=False)
    weight = (scores - top[row]).exp()
    return weight / scores.new_zeros(shape).index_add_(0, row, weight)[row]

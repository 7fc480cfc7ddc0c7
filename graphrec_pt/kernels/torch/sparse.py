"""Sparse times dense by gathers and segment reductions."""

from torch import Tensor

from graphrec_pt.kernels.transposed import owners


def spmm(ptr: Tensor, indices: Tensor, values: Tensor | None, dense: Tensor) -> Tensor:
    """Sum each row's neighbours; see :func:`graphrec_pt.kernels.sparse.spmm`."""
    message = dense[indices]  # [E, D]
    if values is not None:
        message = message * values.unsqueeze(1)
    out = dense.new_zeros(len(ptr) - 1, dense.shape[1])  # [M, D]
    return out.index_add_(0, owners(ptr, len(indices)), message)


def sddmm(ptr: Tensor, indices: Tensor, left: Tensor, right: Tensor) -> Tensor:
    """Dot the two ends of every entry; see :func:`graphrec_pt.kernels.sparse.sddmm`."""
    return (left[owners(ptr, len(indices))] * right[indices]).sum(-1)  # [E]


def segment_softmax(ptr: Tensor, scores: Tensor) -> Tensor:
    """Normalise scores; see :func:`graphrec_pt.kernels.sparse.segment_softmax`."""
    row = owners(ptr, len(scores))  # [E]
    shape = (len(ptr) - 1, scores.shape[1])
    spread = row.unsqueeze(1).expand_as(scores)
    top = scores.new_zeros(shape).scatter_reduce(0, spread, scores, "amax", include_self=False)
    weight = (scores - top[row]).exp()
    return weight / scores.new_zeros(shape).index_add_(0, row, weight)[row]

"""Sparse times dense by gathering rows and adding them up."""

from torch import Tensor

from graphrec_pt.kernels.transposed import owners


def spmm(ptr: Tensor, indices: Tensor, values: Tensor | None, dense: Tensor) -> Tensor:
    """Sum each row's neighbours; see :func:`graphrec_pt.kernels.sparse.spmm`."""
    message = dense[indices]  # [E, D]
    if values is not None:
        message = message * values.unsqueeze(1)
    out = dense.new_zeros(len(ptr) - 1, dense.shape[1])  # [M, D]
    return out.index_add_(0, owners(ptr, len(indices)), message)

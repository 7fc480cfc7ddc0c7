"""The transpose of a sparse matrix in CSR form, which the backward passes multiply by."""

from typing import NamedTuple

import torch
from torch import Tensor

from graphrec_pt.core.memo import Memo

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

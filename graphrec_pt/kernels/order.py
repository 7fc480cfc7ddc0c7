"""Stable lexicographic order of integer columns: what sorts edges into segments."""

from importlib import import_module

import numpy as np
import numpy.typing as npt
import torch

from graphrec_pt.kernels.dispatch import chosen_body

Int64 = npt.NDArray[np.int64]


def order(*columns: npt.NDArray[np.integer]) -> Int64:
    """Return the stable order that sorts rows by the first column, then by the next ones.

    The numba body is a least-significant-digit radix sort that skips digits that never vary;
    the torch body is one stable sort per column. Both give the same permutation.

    Args:
        *columns: Integer arrays ``[E]``, most significant first.

    Returns:
        int64 ``[E]``, the rows in sorted order.
    """
    on_cpu = torch.empty(0, device="cpu")
    backend = "numba" if chosen_body(on_cpu) == "numba" else "torch"
    sort = import_module(f"graphrec_pt.kernels.{backend}.order").order
    found: Int64 = sort(columns)
    return found

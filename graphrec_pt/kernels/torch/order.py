"""Stable sorts, least significant column first."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch


def order(columns: Sequence[npt.NDArray[np.integer]]) -> npt.NDArray[np.int64]:
    """Return the rows in lexicographic order; see :func:`graphrec_pt.kernels.order.order`."""
    rows = torch.arange(len(columns[0]))
    for column in reversed(columns):
        keys = torch.from_numpy(np.ascontiguousarray(column)).long()
        rows = rows[torch.sort(keys[rows], stable=True).indices]
    found: npt.NDArray[np.int64] = rows.numpy()
    return found

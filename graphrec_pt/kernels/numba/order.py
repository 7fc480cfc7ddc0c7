"""Radix sort of rows by integer columns, 11 bits a pass."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from graphrec_pt.kernels.numba.compile import kernel

DIGIT = 11


@kernel()
def _pass(keys: Any, rows: Any, out: Any, low: Any, shift: Any) -> None:
    """Sort `rows` stably by one digit of ``keys[rows] - low`` into `out`."""
    mask = np.uint64((1 << DIGIT) - 1)
    start = np.zeros((1 << DIGIT) + 1, np.int64)
    for i in range(keys.shape[0]):
        start[((np.uint64(keys[i] - low) >> np.uint64(shift)) & mask) + np.uint64(1)] += 1
    for d in range(1 << DIGIT):
        start[d + 1] += start[d]
    for i in range(rows.shape[0]):
        row = rows[i]
        digit = (np.uint64(keys[row] - low) >> np.uint64(shift)) & mask
        out[start[digit]] = row
        start[digit] += 1


def order(columns: Sequence[npt.NDArray[np.integer]]) -> npt.NDArray[np.int64]:
    """Return the rows in lexicographic order; see :func:`graphrec_pt.kernels.order.order`."""
    rows = np.arange(len(columns[0]), dtype=np.int64)
    if not len(rows):
        return rows
    spare = np.empty_like(rows)
    for column in reversed(columns):
        low, high = int(column.min()), int(column.max())
        for shift in range(0, (high - low).bit_length(), DIGIT):
            _pass(column, rows, spare, column.dtype.type(low), shift)
            rows, spare = spare, rows
    return rows

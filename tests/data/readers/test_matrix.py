import io
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp

from graphrec_pt.core.errors import GraphRecError

DENSE = np.array([[0, 5, 0], [7, 0, 9]])


def saved(matrix: Any) -> bytes:
    stream = io.BytesIO()
    sp.save_npz(stream, matrix)
    return stream.getvalue()


@pytest.mark.parametrize("make", [sp.csr_matrix, sp.csc_matrix, sp.coo_matrix, sp.csr_array])
def test_every_layout_gives_the_same_rows(read: Any, make: Any) -> None:
    table = read("matrix", {"m.npz": saved(make(DENSE))})["matrix"]
    assert sorted(table.rows()) == [(0, 1, 5, "m.npz"), (1, 0, 7, "m.npz"), (1, 2, 9, "m.npz")]


def test_block_matrices_and_objects_are_refused(read: Any) -> None:
    with pytest.raises(GraphRecError, match=r"expected a sparse matrix saved by scipy"):
        read("matrix", {"m.npz": saved(sp.bsr_matrix(DENSE))})
    stream = io.BytesIO()
    np.savez(stream, format=np.array({"any": "object"}, dtype=object))
    with pytest.raises(GraphRecError, match="allow_pickle=False"):
        read("matrix", {"o.npz": stream.getvalue()})

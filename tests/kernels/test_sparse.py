import warnings

import pytest
import torch

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.kernels.sparse import owners, sddmm, segment_softmax, spmm, transposed


def random_matrix(rows, columns, entries, device, index=torch.int64, seed=0):
    """A CSR with parallel entries and empty rows, and its values in float64."""
    draw = torch.Generator().manual_seed(seed)
    row = torch.randint(max(rows - 2, 1), (entries,), generator=draw).sort().values
    ptr = torch.zeros(rows + 1, dtype=torch.int64)
    ptr[1:] = torch.bincount(row, minlength=rows).cumsum(0)
    indices = torch.randint(columns, (entries,), generator=draw, dtype=index)
    values = torch.randn(entries, generator=draw, dtype=torch.float64)
    return ptr.to(device), indices.to(device), values.to(device)


def as_dense(ptr, indices, values, columns):
    dense = values.new_zeros(len(ptr) - 1, columns)
    return dense.index_put_((owners(ptr, len(indices)), indices.long()), values, accumulate=True)


TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-12}


@pytest.mark.parametrize("index", [torch.int32, torch.int64])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_spmm_equals_a_dense_product(body, device, index, dtype):
    ptr, indices, values = random_matrix(6, 9, 25, device, index)
    values = values.to(dtype)
    dense = torch.randn(70, 9, dtype=dtype, device=device).T  # [9, 70], not contiguous
    tolerance = {"rtol": TOLERANCE[dtype], "atol": TOLERANCE[dtype]}
    expected = as_dense(ptr, indices, values, 9) @ dense
    torch.testing.assert_close(spmm(ptr, indices, values, dense), expected, **tolerance)
    ones = as_dense(ptr, indices, torch.ones_like(values), 9) @ dense
    torch.testing.assert_close(spmm(ptr, indices, None, dense), ones, **tolerance)
    sparse = torch.sparse_coo_tensor(
        torch.stack([owners(ptr, len(indices)), indices.long()]),
        values,
        (6, 9),
        check_invariants=True,
    )
    oracle = torch.sparse.mm(sparse, dense)
    torch.testing.assert_close(spmm(ptr, indices, values, dense), oracle, **tolerance)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_sddmm_equals_sampled_entries_of_the_product(body, device, dtype):
    ptr, indices, _ = random_matrix(6, 9, 25, device, torch.int32)
    left = torch.randn(6, 70, dtype=dtype, device=device)
    right = torch.randn(9, 70, dtype=dtype, device=device)
    expected = (left @ right.T)[owners(ptr, 25), indices.long()]
    tolerance = {"rtol": TOLERANCE[dtype], "atol": 10 * TOLERANCE[dtype]}
    torch.testing.assert_close(sddmm(ptr, indices, left, right), expected, **tolerance)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("heads", [None, 3])
def test_softmax_equals_torch_geometric(body, device, dtype, heads):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the import tells about packages it can do without
        from torch_geometric.utils import softmax
    ptr, _, _ = random_matrix(6, 9, 200, device)
    shape = (200,) if heads is None else (200, heads)
    scores = 50 * torch.randn(shape, dtype=dtype, device=device)
    expected = softmax(scores, ptr=ptr)
    tolerance = {"rtol": 10 * TOLERANCE[dtype], "atol": TOLERANCE[dtype]}
    torch.testing.assert_close(segment_softmax(ptr, scores), expected, **tolerance)


def test_gradients(body, device):
    ptr, indices, values = random_matrix(4, 3, 6, device)
    values.requires_grad_()
    dense = torch.randn(3, 2, dtype=torch.float64, device=device, requires_grad=True)
    left = torch.randn(4, 2, dtype=torch.float64, device=device, requires_grad=True)
    scores = torch.randn(6, 2, dtype=torch.float64, device=device, requires_grad=True)
    cases = [
        (lambda v, x: spmm(ptr, indices, v, x), (values, dense)),
        (lambda x: spmm(ptr, indices, None, x), (dense,)),
        (lambda x, y: sddmm(ptr, indices, x, y), (left, dense)),
        (lambda s: segment_softmax(ptr, s), (scores,)),
    ]
    for function, inputs in cases:
        assert torch.autograd.gradcheck(function, inputs, fast_mode=body == "triton")
        assert torch.autograd.gradgradcheck(function, inputs, fast_mode=True)


def test_transpose_is_kept_for_its_matrix_only():
    ptr, indices, values = random_matrix(6, 9, 25, "cpu")
    back = transposed(ptr, indices, 9)
    assert transposed(ptr, indices, 9) is back
    assert as_dense(back.ptr, back.row, values[back.edge], 6).equal(
        as_dense(ptr, indices, values, 9).T
    )
    assert len(transposed(ptr, indices, 12).ptr) == 13


def test_no_entries(body, device):
    ptr = torch.zeros(4, dtype=torch.int64, device=device)
    none = torch.empty(0, dtype=torch.int32, device=device)
    dense = torch.ones(2, 5, device=device)
    assert spmm(ptr, none, None, dense).equal(torch.zeros(3, 5, device=device))
    assert sddmm(ptr, none, torch.ones(3, 5, device=device), dense).shape == (0,)
    assert segment_softmax(ptr, torch.empty(0, device=device)).shape == (0,)
    assert spmm(ptr[:1], none, None, dense).shape == (0, 5)


def test_bad_input():
    ptr, indices, values = random_matrix(6, 9, 25, "cpu")
    dense = torch.ones(9, 2, dtype=torch.float64)
    with pytest.raises(GraphRecError, match=r"spmm: expected columns in \[0, 5\)"):
        spmm(ptr, indices, values, dense[:5])
    with pytest.raises(GraphRecError, match="spmm: expected ptr ascending from 0 to 24"):
        spmm(ptr, indices[:-1], values, dense)
    with pytest.raises(GraphRecError, match=r"spmm: expected values torch.float64 \[25\]"):
        spmm(ptr, indices, values.float(), dense)
    with pytest.raises(GraphRecError, match=r"sddmm: expected left torch.float64 \[6, 2\]"):
        sddmm(ptr, indices, dense, dense)
    with pytest.raises(GraphRecError, match="segment_softmax: expected float32 or float64"):
        segment_softmax(ptr, indices)

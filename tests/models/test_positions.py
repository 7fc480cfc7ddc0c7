import pytest
import torch

from graphrec_pt.features.seeded import seeded
from graphrec_pt.kernels.csr import NO_TIME
from graphrec_pt.models.positions import StructuralEmbedding, places, rotary, rotated, time_gap


def test_structure_adds_one_row_per_column():
    table = seeded(lambda: StructuralEmbedding({"hop": 3, "slot": 2}, 4), 0)
    x = torch.ones(3, 4)
    column = {"hop": torch.tensor([0, 2, -1]), "slot": torch.tensor([1, -1, -1])}
    out = table(x, {**column, "unused": torch.tensor([9])})
    hop, slot = (table.tables[f"of_{name}"].weight for name in ("hop", "slot"))
    expected = torch.stack([1 + hop[1] + slot[2], 1 + hop[3], x[2]])
    torch.testing.assert_close(out, expected)
    out.sum().backward()
    assert not hop.grad[0].any()  # none stays nothing
    assert hop.grad[1].any()


def test_time_gap_by_hand():
    ptr = torch.tensor([0, 0, 5, 5, 8])
    time = torch.tensor([10, 10, 11, 14, NO_TIME, 100, 50, 10**12])
    assert time_gap(time, ptr, 8).tolist() == [-1, 0, 1, 2, -1, -1, 0, 7]
    assert time_gap(time[:0], ptr[:1], 8).shape == (0,)


def test_places():
    assert places(torch.tensor([0, 2, 2, 5]), 5).tolist() == [0, 1, 0, 1, 2]


def test_rotary_by_hand():
    turn = rotary(4, torch.tensor([3]))
    head = torch.tensor([[[1.0, 2.0, 3.0, 4.0]]])
    first = complex(1, 3) * complex(torch.tensor(3.0).cos(), torch.tensor(3.0).sin())
    second = complex(2, 4) * complex(torch.tensor(0.03).cos(), torch.tensor(0.03).sin())
    expected = torch.tensor([[[first.real, second.real, first.imag, second.imag]]])
    torch.testing.assert_close(rotated(head, turn), expected)


@pytest.mark.parametrize("shift", [-7, 1, 50])
def test_rotary_product_depends_on_the_distance(shift):
    draw = torch.Generator().manual_seed(0)
    query, key = torch.randn(2, 6, 2, 8, generator=draw, dtype=torch.float64)
    position = torch.arange(6)

    def products(by):
        turned = [rotated(x, rotary(8, position + by)) for x in (query, key)]
        return torch.einsum("ihd,jhd->hij", *turned)

    torch.testing.assert_close(products(0), products(shift), rtol=1e-4, atol=1e-4)
    assert not torch.allclose(products(0), torch.einsum("ihd,jhd->hij", query, key))

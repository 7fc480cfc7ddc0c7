"""Contrast against sums written out."""

from math import exp, log, sqrt

import pytest
import torch
from torch import Tensor

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.objectives.contrast import info_nce, nt_xent


def drawn(seed: int, rows: int, width: int = 3) -> Tensor:
    return torch.randn(
        rows, width, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)
    )


def cos(x: list[float], y: list[float]) -> float:
    dot = sum(p * q for p, q in zip(x, y, strict=True))
    return dot / sqrt(sum(p * p for p in x) * sum(q * q for q in y))


def slow_info_nce(a: Tensor, b: Tensor, temperature: float, same: list[int]) -> float:
    left, right, total = a.tolist(), b.tolist(), 0.0
    for i, x in enumerate(left):
        below = sum(
            exp(cos(x, y) / temperature)
            for j, y in enumerate(right)
            if j == i or same[j] != same[i]
        )
        total -= log(exp(cos(x, right[i]) / temperature) / below)
    return total / len(left)


def slow_nt_xent(a: Tensor, b: Tensor, temperature: float, same: list[int]) -> float:
    views = [*a.tolist(), *b.tolist()]
    n, total = len(a), 0.0
    for i, x in enumerate(views):
        partner = (i + n) % (2 * n)
        below = sum(
            exp(cos(x, y) / temperature)
            for j, y in enumerate(views)
            if j == partner or same[j % n] != same[i % n]
        )
        total -= log(exp(cos(x, views[partner]) / temperature) / below)
    return total / (2 * n)


def test_two_rows_at_right_angles() -> None:
    a = torch.tensor([[2.0, 0.0], [0.0, 5.0]])
    # Cosines are 1 with the own row, 0 with the other: both terms are log(1 + e^{-1/τ}).
    assert float(info_nce(a, a, 0.5)) == pytest.approx(log(1 + exp(-2)))
    products = info_nce(a, a, 2.0, cosine=False)  # 4/2 and 25/2 against 0
    assert float(products) == pytest.approx((log(1 + exp(-2)) + log(1 + exp(-12.5))) / 2)


def test_nt_xent_of_two_things() -> None:
    a = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    # Of every view: its partner at 1, the two views of the other thing at 0.
    assert float(nt_xent(a, 3 * a, 1.0)) == pytest.approx(log(1 + 2 * exp(-1)))


@pytest.mark.parametrize("same", [[0, 1, 2, 3], [0, 1, 0, 2], [0, 0, 0, 0]])
def test_both_equal_the_sums_written_out(same: list[int]) -> None:
    a, b = drawn(0, 4), drawn(1, 4)
    names = torch.tensor(same)
    assert float(info_nce(a, b, 0.3, names)) == pytest.approx(slow_info_nce(a, b, 0.3, same))
    assert float(nt_xent(a, b, 0.3, names)) == pytest.approx(slow_nt_xent(a, b, 0.3, same))


def test_rows_past_the_anchors_are_negatives_only() -> None:
    a, b = drawn(0, 2), drawn(1, 5)
    assert float(info_nce(a, b, 0.3)) == pytest.approx(slow_info_nce(a, b, 0.3, list(range(5))))


def test_masked_negatives_contribute_nothing() -> None:
    a, b = drawn(0, 1), drawn(1, 3).requires_grad_()
    (gradient,) = torch.autograd.grad(info_nce(a, b, 0.3, torch.tensor([0, 1, 0])), b)
    assert bool((gradient[2] == 0).all())
    assert bool((gradient[:2] != 0).all())
    a, b = drawn(0, 3).requires_grad_(), drawn(1, 3).requires_grad_()
    one_thing = nt_xent(a, b, 0.3, torch.zeros(3, dtype=torch.int64))
    assert one_thing.item() == 0
    for gradient in torch.autograd.grad(one_thing, [a, b]):
        assert bool((gradient == 0).all())


def test_a_term_does_not_change_with_the_rows_masked_for_it() -> None:
    a, b = drawn(0, 3), drawn(1, 3)
    names = torch.tensor([0, 1, 0])
    moved = b.clone()
    moved[2] = 100.0  # anchor 0 must not notice; anchor 1 does, and anchor 2 is its own
    terms = [
        [
            float(info_nce(a[[i]], torch.cat([x[[i]], x[rest]]), 0.3, names[[i, *rest]]))
            for i, rest in ((0, [1, 2]), (1, [0, 2]))
        ]
        for x in (b, moved)
    ]
    assert terms[0][0] == terms[1][0]
    assert terms[0][1] != terms[1][1]


@pytest.mark.parametrize("loss", [info_nce, nt_xent])
def test_gradients(loss: object) -> None:
    a, b = drawn(0, 3).requires_grad_(), drawn(1, 3).requires_grad_()
    names = torch.tensor([0, 1, 0])
    assert torch.autograd.gradcheck(lambda x, y: loss(x, y, 0.5, names), (a, b))  # type: ignore[operator]


def test_none_and_only_the_same_cost_nothing() -> None:
    none = torch.zeros(0, 3, requires_grad=True)
    for loss in (info_nce, nt_xent):
        assert loss(none, none).item() == 0
        assert loss(drawn(0, 1), drawn(1, 1)).item() == 0  # no negatives at all
        loss(none, none).backward()


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(GraphRecError, match=r"m >= n"):
        info_nce(drawn(0, 3), drawn(0, 2))
    with pytest.raises(GraphRecError, match="equal length"):
        nt_xent(drawn(0, 2), drawn(0, 3))
    with pytest.raises(GraphRecError, match="temperature > 0"):
        info_nce(drawn(0, 2), drawn(0, 2), 0.0)
    with pytest.raises(GraphRecError, match=r"int64 \[2\]"):
        nt_xent(drawn(0, 2), drawn(0, 2), 0.5, torch.tensor([0]))

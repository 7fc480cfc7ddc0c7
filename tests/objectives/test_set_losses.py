"""Losses of one right candidate among others, by hand."""

import math

import pytest
import torch

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.objectives.set_losses import SetLoss

SCORES = torch.tensor([[1.0, -0.5, 9.0, 0.5], [0.2, 1.5, -1.0, 0.0]])
RIGHT = torch.tensor([0, 1])
THERE = torch.tensor([[True, True, False, True], [True, True, True, True]])


def sigma(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def by_hand(form: str, row: list[float], right: int) -> float:
    good, others = row[right], [s for n, s in enumerate(row) if n != right]
    if form == "softmax":
        return -math.log(math.exp(good / 2) / sum(math.exp(s / 2) for s in row))
    if form == "bce":
        return -(math.log(sigma(good)) + sum(math.log(sigma(-s)) for s in others)) / len(row)
    if form == "focal":
        total = 0.25 * (1 - sigma(good)) ** 2 * math.log(sigma(good))
        total += sum(0.75 * sigma(s) ** 2 * math.log(1 - sigma(s)) for s in others)
        return -total / len(row)
    gaps = [max(0.0, 1.5 + s - good) for s in others]
    return sum(gaps) / len(gaps) + max(gaps)


@pytest.mark.parametrize("form", ["softmax", "bce", "focal", "hinge"])
def test_losses_by_hand(form: str) -> None:
    loss = SetLoss.model_validate({"form": form, "temperature": 2, "alpha": 0.25, "margin": 1.5})
    rows = [[1.0, -0.5, 0.5], [0.2, 1.5, -1.0, 0.0]]  # without what is not there
    expected = sum(by_hand(form, row, right) for row, right in zip(rows, (0, 1), strict=True))
    assert float(loss.of(SCORES, RIGHT, THERE)) == pytest.approx(expected, rel=1e-5)
    order = torch.tensor([2, 0, 3, 1])
    moved = torch.tensor([order.tolist().index(int(right)) for right in RIGHT])
    assert float(loss.of(SCORES[:, order], moved, THERE[:, order])) == pytest.approx(
        expected, rel=1e-5
    )
    assert float(loss.of(SCORES[:0], RIGHT[:0], THERE[:0])) == 0
    with pytest.raises(GraphRecError, match="scores"):
        loss.of(SCORES, RIGHT, THERE[:, :2])

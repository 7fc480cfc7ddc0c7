"""Ranks beside counting, with ties, infinities, what is left out and what is not a number."""

import pytest
import torch
from torch import Tensor

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.kernels.rank import rank


def counted(scores: Tensor, row: int, column: int, seen: list[int]) -> tuple[float, int]:
    """Return the rank by looking at every other candidate."""
    mine, kept = float(scores[row, column]), [v for v in range(scores.shape[1]) if v not in seen]
    if column in seen:
        return float("inf"), len(kept)
    others = [float(scores[row, v]) for v in kept if v != column]
    above, equal = sum(v > mine for v in others), sum(v == mine for v in others)
    return 1 + above + equal / 2, len(kept)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_every_place_beside_counting(body, device, dtype):
    draw = torch.Generator().manual_seed(0)
    scores = (torch.randn(6, 40, generator=draw) * 3).round().to(dtype)  # with ties
    scores[1, :7], scores[2, 5:9] = -torch.inf, torch.inf
    scores[3] = 1.0
    seen = [[], [0, 1, 8], list(range(39)), [4], [39], []]
    ptr = torch.tensor([0, *(len(each) for each in seen)]).cumsum(0)
    column = torch.tensor([v for each in seen for v in each], dtype=torch.int64)
    asked = torch.cartesian_prod(torch.arange(6), torch.arange(40))  # a row has many targets
    found = rank(scores.to(device), asked[:, 0], asked[:, 1], (ptr, column))
    wanted = [counted(scores, r, c, seen[r]) for r, c in asked.tolist()]
    assert found.rank.tolist() == [each for each, _ in wanted]
    assert found.candidates.tolist() == [each for _, each in wanted]


def test_by_hand(body, device):
    scores = torch.tensor([[3.0, 1.0, 3.0, 2.0], [0.0, 0.0, 0.0, 0.0]], device=device)
    found = rank(scores, torch.tensor([0, 0, 1]), torch.tensor([0, 3, 2]))
    assert found.rank.tolist() == [1.5, 3, 2.5]
    assert found.candidates.tolist() == [4, 4, 4]
    assert rank(scores, torch.tensor([], dtype=int), torch.tensor([], dtype=int)).rank.numel() == 0


def test_not_a_number_is_told(body, device):
    scores = torch.zeros(3, 5)
    scores[1, 4] = torch.nan
    found = rank(scores.to(device), torch.tensor([0, 1, 2]), torch.tensor([0, 1, 2]))
    assert found.rank.isnan().tolist() == [False, True, False]
    assert (scores.isnan().sum(), float(scores[0].sum())) == (1, 0)  # nothing is written


def test_wrong_use():
    scores, at = torch.zeros(2, 3), torch.tensor([0])
    with pytest.raises(GraphRecError, match=r"row in \[0, 2\), got 2"):
        rank(scores, torch.tensor([2]), at)
    with pytest.raises(GraphRecError, match=r"column in \[0, 3\), got -1"):
        rank(scores, at, torch.tensor([-1]))
    with pytest.raises(GraphRecError, match=r"seen ptr \[3\]"):
        rank(scores, at, at, (torch.tensor([0, 0]), at[:0]))
    with pytest.raises(GraphRecError, match="float scores"):
        rank(scores.long(), at, at)

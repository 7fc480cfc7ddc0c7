"""The best k and the rank of a target against a plain sort."""

import pytest
import torch
from torch import Tensor

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.kernels.topk import rank, topk


def oracle(queries, items, k, seen=None):
    """Score everything at once and sort stably."""
    scores = queries @ items.T
    if seen is not None:
        for b in range(len(queries)):
            scores[b, seen[1][seen[0][b] : seen[0][b + 1]]] = float("-inf")
    missing = max(k - len(items), 0)
    scores = torch.nn.functional.pad(scores, (0, missing), value=float("-inf"))
    found = torch.sort(scores, dim=1, descending=True, stable=True)
    index = found.indices[:, :k].masked_fill(found.values[:, :k] == float("-inf"), -1)
    return found.values[:, :k], index


def small_integers(rows, width, seed, device, dtype=torch.float32):
    """Vectors of small integers: products are exact and full of ties."""
    draw = torch.Generator().manual_seed(seed)
    return torch.randint(-2, 3, (rows, width), generator=draw).to(dtype).to(device)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("block", [5, 64])
def test_ties_go_to_the_lower_item(body, device, dtype, block):
    queries = small_integers(5, 4, 0, device, dtype)
    items = small_integers(8, 41, 1, device, dtype)[:4].T  # [41, 4], not contiguous
    score, index = topk(queries, items, 10, block=block)
    expected, places = oracle(queries, items, 10)
    assert score.equal(expected)
    assert index.equal(places)


def test_seen_items_are_left_out_even_when_nothing_remains(body, device):
    queries, items = small_integers(4, 3, 2, device), small_integers(12, 3, 3, device)
    ptr = torch.tensor([0, 2, 2, 14, 23], device=device)
    item = torch.tensor([11, 0, *range(12), *range(8), 3], device=device)
    for block in (5, 100):
        score, index = topk(queries, items, 6, seen=(ptr, item), block=block)
        expected, places = oracle(queries, items, 6, (ptr, item))
        assert score.equal(expected)
        assert index.equal(places)
        assert index[2].tolist() == [-1] * 6  # has seen everything
        assert (index[3] >= 8).sum() == 4


def test_more_wanted_than_there_are(body, device):
    queries, items = small_integers(2, 3, 4, device), small_integers(3, 3, 5, device)
    _, index = topk(queries, items, 5)
    assert index[:, 3:].tolist() == [[-1, -1]] * 2
    assert sorted(index[0, :3].tolist()) == [0, 1, 2]
    assert topk(queries, items[:0], 2)[1].tolist() == [[-1, -1]] * 2
    assert topk(queries[:0], items, 2)[0].shape == (0, 2)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"k": 0}, "topk: expected k >= 1, got 0"),
        ({"block": 0}, "topk: expected block >= 1, got 0"),
        ({"items": torch.ones(3, 4)}, "queries .* and items"),
        ({"items": torch.tensor([[0.0] * 3, [float("nan")] * 3])}, "finite items, got row 1"),
        ({"seen": (torch.tensor([0, 1]), torch.tensor([1]))}, r"seen ptr \[3\]"),
        ({"seen": (torch.tensor([0, 1, 1]), torch.tensor([9]))}, r"seen items in \[0, 3\), got 9"),
    ],
)
def test_bad_input(change, message):
    arguments = {"queries": torch.ones(2, 3), "items": torch.ones(3, 3), "k": 2, **change}
    with pytest.raises(GraphRecError, match=message):
        topk(**arguments)


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

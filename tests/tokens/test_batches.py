"""Batches of like length: every row once, repeatable, little padding."""

import numpy as np
import pytest
import torch

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.core.key import Key
from graphrec_pt.tokens.batches import bucketed, waste

KEY = Key(7)


def power_law(n: int, exponent: float, longest: int) -> torch.Tensor:
    draw = np.random.default_rng(3)
    return torch.from_numpy(np.minimum(4 + draw.zipf(exponent, n), longest))


@pytest.mark.parametrize("limit", [{"size": 16}, {"tokens": 300}])
def test_every_row_once(limit: dict[str, int]) -> None:
    lengths = power_law(1003, 1.5, 200)
    batches = bucketed(lengths, KEY, **limit, window=5)
    assert sorted(torch.cat(batches).tolist()) == list(range(1003))
    if "size" in limit:
        assert sorted(map(len, batches))[1:] == [16] * (len(batches) - 1)
    else:
        assert max(int(lengths[rows].sum()) for rows in batches) <= 300


def test_pure_function_of_the_key() -> None:
    lengths = power_law(500, 1.5, 100)
    first = bucketed(lengths, KEY, size=8)
    again = bucketed(lengths, KEY, size=8)
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    for other in (KEY.at_epoch(1), Key(8)):
        changed = bucketed(lengths, other, size=8)
        assert [rows.tolist() for rows in changed] != [rows.tolist() for rows in first]


def test_batches_do_not_come_by_length() -> None:
    lengths = torch.arange(1, 641)
    longest = [int(lengths[rows].max()) for rows in bucketed(lengths, KEY, size=10)]
    assert longest != sorted(longest)
    assert abs(float(np.corrcoef(longest, range(64))[0, 1])) < 0.4


def test_waste_by_hand() -> None:
    lengths = torch.tensor([1, 3, 2, 2])
    assert waste(lengths, [torch.tensor([0, 1]), torch.tensor([2, 3])]) == pytest.approx(0.2)
    assert waste(lengths, [torch.tensor([0]), torch.tensor([1])]) == 0
    assert waste(lengths, []) == 0


@pytest.mark.parametrize(("exponent", "longest"), [(1.2, 512), (1.5, 200), (2.0, 50)])
@pytest.mark.parametrize("limit", [{"size": 64}, {"size": 256}, {"tokens": 4096}])
def test_waste_on_a_power_law(exponent: float, longest: int, limit: dict[str, int]) -> None:
    lengths = power_law(20_000, exponent, longest)
    assert waste(lengths, bucketed(lengths, KEY, **limit)) <= 0.10
    assert waste(lengths, bucketed(lengths, KEY, **limit, window=1)) > 0.5  # of no sorting


def test_empty_and_empty_rows() -> None:
    assert bucketed(torch.empty(0, dtype=torch.int64), KEY, size=4) == []
    zeros = torch.zeros(9, dtype=torch.int64)
    assert sum(map(len, bucketed(zeros, KEY, tokens=4))) == 9
    assert waste(zeros, bucketed(zeros, KEY, size=4)) == 0


def test_limits_that_cannot_be() -> None:
    lengths = torch.tensor([3, 9])
    with pytest.raises(GraphRecError, match="size or tokens, got size=None, tokens=None"):
        bucketed(lengths, KEY)
    with pytest.raises(GraphRecError, match="size or tokens, got size=2, tokens=2"):
        bucketed(lengths, KEY, size=2, tokens=2)
    with pytest.raises(GraphRecError, match="rows of at most 5 tokens, got 9; try tokens=9"):
        bucketed(lengths, KEY, tokens=5)
    with pytest.raises(GraphRecError, match="size or tokens >= 1, got 0"):
        bucketed(lengths, KEY, size=0)
    with pytest.raises(GraphRecError, match="window >= 1"):
        bucketed(lengths, KEY, size=1, window=0)

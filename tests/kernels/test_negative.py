import numpy as np
import pytest
import torch
from scipy.stats import chisquare

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.core.key import Key, draw32
from graphrec_pt.kernels.csr import SegmentedCSR
from graphrec_pt.kernels.dispatch import forced_body
from graphrec_pt.kernels.negative import negative, popularity

KEY = Key(11).named("negatives")


def star(items, bought, device, index=torch.int32):
    """Users 0, 1, …; user *u* has bought the items of ``bought[u]`` (ids from 0), in that order."""
    users = len(bought)
    flat = [users + i for items_of in bought for i in items_of]
    segment = torch.tensor([0, *(len(items_of) for items_of in bought)]).cumsum(0)
    return SegmentedCSR(
        offset=torch.tensor([0, users, users + items]),
        slots=torch.tensor([1, 0]),
        base=torch.tensor([0, users, users]),
        segment=segment,
        indices=torch.tensor(flat, dtype=index),
    ).to(device)


def draw(csr, users, count, key=KEY, **options):
    low, high = int(csr.offset[1]), int(csr.offset[2])
    return negative(csr, users, 0, count, key, low=low, high=high, **options)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("index", [torch.int32, torch.int64])
def test_bodies_agree_to_the_bit(body, device, weighted, index):
    """Users who bought nothing, some, twice the same, almost all and all of 40 items."""
    bought = [[], [7, 3, 9, 3], [*range(39, 0, -1)], [*range(40)], [0, *range(2, 40), 5]]
    csr = star(40, bought, device, index)
    weight = torch.arange(40, device=device) % 7
    options = {"cumulative": popularity(weight, 0.75)} if weighted else {}
    users = torch.tensor([4, 0, 3, 2, 1, 4], device=device)
    got = draw(csr, users, 9, **options)
    with forced_body("torch"):
        assert got.equal(draw(csr, users, 9, **options))
    assert got[0].equal(got[5])
    assert got[2].tolist() == [-1] * 9
    for user, row in zip(users.tolist(), got.tolist(), strict=True):
        left = set(range(40)) - set(bought[user])
        if weighted:
            left = {i for i in left if i % 7}
        allowed = {i + 5 for i in left} or {-1}
        assert set(row) <= allowed


def test_first_candidates_follow_the_contract(body, device):
    csr = star(1000, [[]], device)
    got = draw(csr, torch.tensor([0], device=device), 6)
    bits = draw32(KEY, 0, np.arange(6)).astype(np.uint64)
    assert got[0].tolist() == [1 + int(b * np.uint64(1000) >> np.uint64(32)) for b in bits]


@pytest.mark.parametrize("free", [3, 30])
def test_distribution(free):
    """Exact over the items that remain, by refusals (30 of 40) and by rank (3 of 40)."""
    bought = [[i for i in range(40) if i % 13 > 0], [i for i in range(40) if i % 4 == 1]]
    bought[0] += [0] if free == 3 else []
    user = 0 if free == 3 else 1
    csr = star(40, bought, "cpu")
    left = [i for i in range(40) if i not in bought[user]]
    weight = torch.arange(1, 41) ** 2
    for cumulative in (None, popularity(weight, 0.5)):
        got = draw(csr, torch.tensor([user]), 40_000, cumulative=cumulative)[0] - 2
        count = torch.bincount(got, minlength=40)
        assert int(count[left].sum()) == 40_000
        share = torch.ones(len(left)) if cumulative is None else (weight[left] ** 0.5)
        expected = share.double() / share.sum() * 40_000
        assert chisquare(count[left].double(), expected * (40_000 / expected.sum())).pvalue > 1e-3


def test_no_dependence_on_the_batch(body, device):
    csr = star(50, [[1, 2], [], [5, *range(40)]], device)
    users = torch.tensor([2, 0, 1, 2], device=device)
    whole = draw(csr, users, 8)
    for row, user in enumerate(users.tolist()):
        alone = draw(csr, torch.tensor([user], device=device), 8)
        assert alone[0].equal(whole[row])
    assert draw(csr, users, 3).equal(whole[:, :3])  # fewer begin alike
    strided = torch.stack([users, users], dim=1)[:, 0]
    assert draw(csr, strided, 8).equal(whole)
    assert not draw(csr, users, 8, key=KEY.at_epoch(1)).equal(whole)
    own = draw(csr, users, 8, item=torch.arange(4, device=device))
    assert not own[0].equal(own[3])  # the same user, two examples


def test_empty_batch_and_isolated_user(body, device):
    csr = star(3, [[]], device)
    assert draw(csr, torch.empty(0, dtype=torch.int64, device=device), 4).shape == (0, 4)
    assert draw(csr, torch.tensor([0], device=device), 1).shape == (1, 1)


def test_hub(body, device):
    if body == "triton" and device.type == "cpu":
        pytest.skip("a million edges are too many for the interpreter")
    n = 1_000_000
    csr = star(n + 2, [range(1, n + 1)], device)
    got = draw(csr, torch.tensor([0], device=device), 5)
    assert set(got[0].tolist()) == {1, n + 2}


def test_popularity_is_the_share_of_powers():
    got = popularity(torch.tensor([1.0, 0.0, 16.0, 1.0]), 0.5)
    assert got.tolist() == [int(2**31 / 6), int(2**31 / 6), int(2**31 * 5 / 6), 2**31]
    assert popularity(torch.tensor([3, 0, 5]), 0.0).tolist() == [2**30, 2**30, 2**31]


@pytest.mark.parametrize(
    ("weight", "message"),
    [
        ([1.0, -1.0], "weights >= 0 and finite, got -1.0 at 1"),
        ([float("nan")], "weights >= 0 and finite, got nan at 0"),
        ([0.0, 0.0], "a weight above 0"),
        ([], "a weight above 0"),
    ],
)
def test_bad_weights(weight, message):
    with pytest.raises(GraphRecError, match=message):
        popularity(torch.tensor(weight))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"count": 0}, "count >= 1, got 0"),
        ({"count": 2**24 + 1}, "count <= 16777216"),
        ({"source": torch.tensor([9])}, r"source ids in \[0, 4\), got 9"),
        ({"slot": 1}, r"a slot in \[0, 1\) for node 0, got 1"),
        ({"low": 3, "high": 3}, "0 <= low < high <= 4, got low 3, high 3"),
        ({"cumulative": torch.ones(2, dtype=torch.int64)}, r"cumulative int64 \[3\]"),
        ({"cumulative": torch.tensor([0, 5, 4])}, "cumulative ascending to"),
        ({"item": torch.tensor([-1])}, "items in"),
        ({"item": torch.tensor([1, 2])}, "1 integer items"),
    ],
)
def test_bad_input(change, message):
    csr = star(3, [[1]], "cpu")
    arguments = {"source": torch.tensor([0]), "slot": 0, "count": 2, "low": 1, "high": 4, **change}
    with pytest.raises(GraphRecError, match="negative: expected " + message):
        negative(csr, key=KEY, **arguments)

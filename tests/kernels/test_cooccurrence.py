"""ChannelSums: by hand, body against body, and what a history may not be told of itself."""

from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from graphrec_pt import GraphRecError
from graphrec_pt.kernels.cooccurrence import ChannelSums, Matrices, cooccurrence
from graphrec_pt.kernels.dispatch import BODIES, forced_body


def chain(near: tuple[float, ...] = (0.0, 0.0, 1.0)) -> Matrices:
    """Return one matrix of four items, counted from histories 0 1 2 and 0 1 3: what comes next."""
    # 0 → 1 twice, 1 → 2 and 1 → 3 once
    return Matrices(
        ptr=torch.tensor([[0, 1, 3, 3, 3]]),
        indices=torch.tensor([1, 2, 3], dtype=torch.int32),
        values=torch.tensor([2.0, 1.0, 1.0]),
        left=torch.ones(1, 4),
        right=torch.ones(1, 4),
        near=torch.tensor([near]),
        far=torch.zeros(1),
    )


@pytest.fixture(params=BODIES)
def either(request: pytest.FixtureRequest):
    with forced_body(request.param):
        yield


HISTORY, PTR = torch.tensor([0, 1, 2]), torch.tensor([0, 3])


def rows(found: ChannelSums) -> list[dict[int, list[float]]]:
    """Return item → values of each place."""
    value = (found.value * 1e4).round().div(1e4)
    return [
        dict(zip(found.item[a:b].tolist(), value[a:b].tolist(), strict=True))
        for a, b in pairwise(found.ptr.tolist())
    ]


@pytest.mark.usefixtures("either")
def test_by_hand() -> None:
    place, target = torch.tensor([0, 1]), torch.tensor([1, 2])
    found = cooccurrence(HISTORY, PTR, place, target, chain(), [(0, 0.5), (0, 0.0)], own=False)
    # after 0: 1 with 2; after 0 1: 1 is met and no target, 2 and 3 with 1
    assert rows(found) == [{1: [2.0, 2.0]}, {2: [1.0, 1.0], 3: [1.0, 1.0]}]


@pytest.mark.usefixtures("either")
def test_what_a_history_added_is_taken_out() -> None:
    place, target = torch.tensor([0, 1]), torch.tensor([1, 2])
    found = cooccurrence(HISTORY, PTR, place, target, chain(), [(0, 0.5)], own=True)
    # the history 0 1 2 itself is one of the two 0 → 1 and the only 1 → 2
    assert rows(found) == [{1: [1.0]}, {3: [1.0]}]


@pytest.mark.usefixtures("either")
def test_older_events_fade() -> None:
    history, ptr = torch.tensor([1, 0]), torch.tensor([0, 2])
    found = cooccurrence(
        history, ptr, torch.tensor([1]), torch.tensor([-1]), chain(), [(0, 0.5)], own=False
    )
    assert rows(found) == [{2: [0.5], 3: [0.5]}]  # 1 is met


@pytest.mark.usefixtures("either")
def test_the_strongest_are_kept_and_ties_go_to_the_lower_id() -> None:
    history, ptr = torch.tensor([1]), torch.tensor([0, 1])
    found = cooccurrence(
        history, ptr, torch.tensor([0]), torch.tensor([-1]), chain(), [(0, 1.0)], own=False, most=1
    )
    assert rows(found) == [{2: [1.0]}]


def test_nothing_asked_and_nothing_known() -> None:
    none = torch.zeros(0, dtype=torch.int64)
    found = cooccurrence(HISTORY, PTR, none, none, chain(), [(0, 1.0)], own=True)
    assert found.ptr.tolist() == [0]
    assert found.value.shape == (0, 1)
    last = torch.tensor([2])
    found = cooccurrence(
        torch.tensor([3, 3, 3]), PTR, last, last * 0, chain(), [(0, 1.0)], own=True
    )
    assert found.ptr.tolist() == [0, 0]


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.booleans(), st.integers(1, 12))
def test_bodies_agree(seed: int, own: bool, most: int) -> None:
    draw = torch.Generator().manual_seed(seed)
    items, matrices = 9, 2
    dense = torch.rand(matrices, items, items, generator=draw)
    dense *= torch.rand(matrices, items, items, generator=draw) < 0.5
    count = (dense > 0).sum(2)  # [M, V]
    ends = torch.cat([torch.zeros(1, dtype=torch.int64), count.flatten().cumsum(0)])
    ptr = torch.stack([ends[m * items : (m + 1) * items + 1] for m in range(matrices)])
    made = Matrices(
        ptr,
        (dense > 0).nonzero()[:, 2].int(),
        dense[dense > 0],
        torch.rand(matrices, items, generator=draw),
        torch.rand(matrices, items, generator=draw),
        torch.rand(matrices, 5, generator=draw) * 0.1,
        torch.tensor([0.0, 0.05]),
    )
    lengths = torch.randint(0, 7, (4,), generator=draw)
    bounds = torch.cat([torch.zeros(1, dtype=torch.int64), lengths.cumsum(0)])
    item = torch.randint(items, (int(bounds[-1]),), generator=draw)
    place = (torch.rand(len(item), generator=draw) < 0.7).nonzero().squeeze(1)
    target = torch.randint(-1, items, (len(place),), generator=draw)
    channels = [(0, 0.7), (1, 1.0), (0, 0.0)]
    found = []
    for name in ("torch", "numba"):
        with forced_body(name):
            found.append(
                cooccurrence(item, bounds, place, target, made, channels, own=own, most=most)
            )
    ours, theirs = found
    torch.testing.assert_close(ours.ptr, theirs.ptr)
    torch.testing.assert_close(ours.item, theirs.item)
    torch.testing.assert_close(ours.value, theirs.value, rtol=1e-5, atol=1e-6)


def test_bad_input() -> None:
    place = torch.tensor([0])
    with pytest.raises(GraphRecError, match=r"items in \[0, 4\)"):
        cooccurrence(
            torch.tensor([4]), torch.tensor([0, 1]), place, place, chain(), [(0, 1.0)], own=True
        )
    with pytest.raises(GraphRecError, match="a target for each place"):
        cooccurrence(HISTORY, PTR, place, place[:0], chain(), [(0, 1.0)], own=True)
    with pytest.raises(GraphRecError, match="channels of a matrix below 1"):
        cooccurrence(HISTORY, PTR, place, place, chain(), [(1, 1.0)], own=True)

"""Steps planned by the caller, and steps of several micro-batches."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.core.key import Key
from graphrec_pt.graph.graph import Graph
from graphrec_pt.sampling.loader import Batch, Loader
from graphrec_pt.sampling.sample import same
from graphrec_pt.sampling.sampler import sampler
from graphrec_pt.tokens.batches import bucketed, waste

WALKS = sampler.build({"name": "random_walk", "hops": 3, "repeats": 2})
LENGTHS = torch.arange(23) % 9 + 1


def by_length(key: Key) -> Sequence[Tensor]:
    return bucketed(LENGTHS, key, tokens=30, window=3)


def planned(graph: Graph, **options: Any) -> Loader:
    return Loader(graph, WALKS, torch.arange(23), plan=by_length, seed=3, **options)


def cut(graph: Graph, **options: Any) -> Loader:
    return Loader(graph, WALKS, torch.arange(23), 2, seed=3, **options)


def equal(a: Sequence[Batch], b: Sequence[Batch]) -> bool:
    return len(a) == len(b) and all(
        (x.step, x.micro, x.total, x.key) == (y.step, y.micro, y.total, y.key)
        and torch.equal(x.rows, y.rows)
        and same(x.sample, y.sample)
        for x, y in zip(a, b, strict=True)
    )


def test_a_plan_is_followed(train: Graph) -> None:
    loader = planned(train)
    for epoch in (0, 4):
        expected = by_length(Key(3, epoch).named("order"))
        batches = list(loader.epoch(epoch))
        assert [batch.rows.tolist() for batch in batches] == [rows.tolist() for rows in expected]
        assert [batch.total for batch in batches] == [len(rows) for rows in expected]
        assert loader.steps(epoch) == len(expected)
        assert all(int(LENGTHS[batch.rows].sum()) <= 30 for batch in batches)
    assert len(loader) == loader.steps(0)


def test_a_plan_by_length_wastes_less_than_the_shuffle(train: Graph) -> None:
    lengths = torch.arange(200) % 50 + 1
    plan: Callable[[Key], Sequence[Tensor]] = partial(bucketed, lengths, size=10)
    roots = torch.zeros(200, dtype=torch.int64)
    bucketed_waste = waste(lengths, list(Loader(train, WALKS, roots, plan=plan).rows(0)))
    shuffled_waste = waste(lengths, list(Loader(train, WALKS, roots, 10).rows(0)))
    assert bucketed_waste < 0.1 < 0.3 < shuffled_waste


@pytest.mark.parametrize("make", [planned, cut])
@pytest.mark.parametrize("world", [2, 3])
def test_ranks_see_what_micro_batches_see(
    train: Graph, make: Callable[..., Loader], world: int
) -> None:
    alone = list(make(train, accumulate=2 * world).epoch(1))
    ranks = [list(make(train, accumulate=2, rank=r, world=world).epoch(1)) for r in range(world)]
    steps = make(train, accumulate=2 * world).steps(1)
    assert len(alone) == steps * 2 * world
    assert {len(mine) for mine in ranks} == {steps * 2}
    for at, batch in enumerate(alone):
        assert (batch.step, batch.micro) == divmod(at, 2 * world)
        micro, rank = divmod(batch.micro, world)
        other = ranks[rank][batch.step * 2 + micro]
        assert (other.step, other.micro, other.total) == (batch.step, micro, batch.total)
        assert torch.equal(other.rows, batch.rows)
        assert same(other.sample, batch.sample)
    rows = torch.cat([batch.rows for batch in alone])
    assert sorted(rows.tolist()) == list(range(23))


def test_hand_computed_micro_batches(train: Graph) -> None:
    def plan(key: Key) -> list[Tensor]:
        return [torch.arange(10, 17), torch.tensor([3])]

    found = {}
    for rank in range(2):
        loader = Loader(train, WALKS, torch.arange(23), plan=plan, accumulate=2, rank=rank, world=2)
        assert (loader.steps(0), len(loader)) == (2, 4)
        for batch in loader:
            found[batch.step, batch.micro, rank] = (batch.rows.tolist(), batch.total)
    assert found == {
        (0, 0, 0): ([10, 14], 7),
        (0, 0, 1): ([11, 15], 7),
        (0, 1, 0): ([12, 16], 7),
        (0, 1, 1): ([13], 7),
        (1, 0, 0): ([3], 1),
        (1, 0, 1): ([], 1),
        (1, 1, 0): ([], 1),
        (1, 1, 1): ([], 1),
    }


@pytest.mark.parametrize("make", [planned, cut])
def test_steps_resume(train: Graph, make: Callable[..., Loader]) -> None:
    through = list(make(train, accumulate=3).epoch(2))
    for threads in (0, 2):
        loader = make(train, accumulate=3, threads=threads)
        assert equal(list(loader.epoch(2, start=1)), through[3:])
        assert list(loader.epoch(2, start=loader.steps(2))) == []


def test_spawned_workers_follow_the_plan(train: Graph) -> None:
    spawned = planned(train, accumulate=2, rank=1, world=2, workers=1)
    plain = planned(train, accumulate=2, rank=1, world=2)
    for epoch in (0, 1):
        assert equal(list(spawned.epoch(epoch)), list(plain.epoch(epoch)))


def test_drop_last_keeps_whole_steps(train: Graph) -> None:
    loader = cut(train, accumulate=3, drop_last=True)
    assert (loader.steps(0), len(loader)) == (3, 9)
    assert {len(batch.rows) for batch in loader} == {2}
    none = Loader(train, WALKS, torch.arange(0), 2, accumulate=3)
    assert (list(none), len(none)) == ([], 0)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (torch.tensor([0, 23]), r"a plan of rows in \[0, 23\), got 0 to 23"),
        (torch.tensor([-1]), r"a plan of rows in \[0, 23\), got -1"),
        (torch.tensor([0.5]), r"a plan of int64 \[B\] rows, B >= 1, got torch.float32 \[1\]"),
        (torch.arange(0), r"a plan of int64 \[B\] rows, B >= 1, got torch.int64 \[0\]"),
    ],
)
def test_plans_that_no_epoch_can_follow(train: Graph, rows: Tensor, message: str) -> None:
    loader = Loader(train, WALKS, torch.arange(23), plan=lambda key: [torch.arange(4), rows])
    for _ in range(2):  # a refused plan is not kept
        with pytest.raises(GraphRecError, match=message):
            loader.steps(0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "a batch size or a plan, got neither"),
        ({"plan": by_length, "batch": 4}, "a batch size or a plan, got both"),
        ({"plan": by_length, "drop_last": True}, "a plan alone to order and cut the epoch"),
        ({"plan": by_length, "shuffle": False}, "a plan alone to order and cut the epoch"),
    ],
)
def test_a_plan_or_a_batch_size(train: Graph, options: dict[str, Any], message: str) -> None:
    with pytest.raises(GraphRecError, match=message):
        Loader(train, WALKS, torch.arange(23), **options)

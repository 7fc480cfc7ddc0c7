"""Segments: the one that was hidden, or somebody else's."""

from collections.abc import Callable, Sequence
from itertools import pairwise
from math import exp, log
from typing import Any

import numpy as np
import pytest
import torch

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.graph.graph import Graph
from graphrec_pt.graph.spec import GraphSpec
from graphrec_pt.objectives.objective import objective
from graphrec_pt.sampling.sampler import Sets
from graphrec_pt.tokens.kind import Kind, Special
from graphrec_pt.tokens.tokens import Tokens

NAME = "segment_prediction"
PAST, EVENTS = {"name": "history"}, {"name": "history"}


def corrupted_of(graph: Graph, making: Any, epoch: int = 0, **linearizer: Any) -> Any:
    users = torch.tensor(list(graph.nodes("user")))
    preparation = making.prepared(graph, PAST, {**EVENTS, **linearizer}, users)
    chosen: Any = objective.build(NAME)
    examples = making.examples(preparation, torch.arange(len(users)), epoch=epoch)
    return examples, chosen.corrupt(examples)


def rows(tokens: Tokens) -> list[list[tuple[int, int]]]:
    """Return (id, position) of the tokens of each sequence."""
    ends = zip(tokens.ptr[:-1].tolist(), tokens.ptr[1:].tolist(), strict=True)
    pairs = list(zip(tokens.id.tolist(), tokens.position.tolist(), strict=True))
    return [pairs[low:high] for low, high in ends]


def test_by_hand(ring: Graph, making: Any, hand: Any) -> None:
    chosen: Any = objective.build(NAME)
    preparation = making.prepared(ring, PAST, EVENTS, torch.tensor([0]))
    corrupted = chosen.corrupt(making.examples(preparation, [0]))
    head = chosen.head(GraphSpec.of(ring), 2).double()
    with torch.no_grad():
        head.map.weight.copy_(torch.tensor([[1.0, 2.0], [0.0, 1.0]]))
    views = [[7, 7], [1, -1]], [[3, 3], [2, 1]], [[5, 5], [0, 1]]  # the last state counts
    # W (2, 1) = (4, 1) and W (0, 1) = (2, 1): scores 3 and 1.
    loss = chosen.loss([hand.encoded(view) for view in views], corrupted, None, head)
    assert loss.item() == pytest.approx(log(1 + exp(-2)))
    mean: Any = objective.build({"name": NAME, "pool": "mean"})
    # Means (4, 3), (2.5, 2) and (2.5, 3); W of these (6.5, 2) and (8.5, 3): scores 32 and 43.
    loss = mean.loss([hand.encoded(view) for view in views], corrupted, None, head)
    assert loss.item() == pytest.approx(11 + log(1 + exp(-11)))


@pytest.mark.parametrize("root", [False, True])
def test_what_is_shown(ring: Graph, making: Any, root: bool) -> None:
    lengths = set()
    for epoch in range(4):
        examples, corrupted = corrupted_of(ring, making, epoch, root=root)
        assert corrupted.count == 24
        whole = rows(examples.tokens)
        hidden, true, false = (rows(view.tokens) for view in corrupted.views)
        for user in range(24):
            seen = hidden[user]
            gone = [place for place, pair in enumerate(seen) if pair != whole[user][place]]
            # The segment is what was hidden, in its places, and at most half of the six events.
            assert true[user] == [whole[user][place] for place in gone]
            assert gone == list(range(gone[0], gone[0] + len(gone)))
            assert 1 <= len(gone) <= 3
            assert {seen[place][0] for place in gone} == {int(Special.MASK)}
            # The other one is a stretch of another round, placed likewise.
            items = [item for item, _ in false[user]]
            assert [place for _, place in false[user]] == [place for _, place in true[user]]
            assert all(24 + (a - 23) % 12 == b for a, b in pairwise(items))
            lengths.add(len(gone))
    assert lengths == {1, 2, 3}


def test_negatives_come_from_others_and_any_of_them(ring: Graph, making: Any) -> None:
    starts = [set() for _ in range(24)]
    for epoch in range(30):
        _, corrupted = corrupted_of(ring, making, epoch)
        tokens = corrupted.views[2].tokens
        for user, first in enumerate(tokens.ptr[:-1].tolist()):
            starts[user].add(int(tokens.id[first]))
    assert all(len(each) > 8 for each in starts)


def test_one_event_is_nothing_to_hide(small: Any, making: Any) -> None:
    graph = small([3, 4, 1], [(0, 0, 1), (1, 0, 1), (1, 2, 2), (1, 3, 3)], [(0, 0)])
    _, corrupted = corrupted_of(graph, making)
    # User 1 alone has two events, and is taught where the other one has any: 2 has none.
    assert corrupted.count in {0, 1}
    for epoch in range(1, 20):
        _, other = corrupted_of(graph, making, epoch)
        corrupted = other if other.count else corrupted
    assert corrupted.count == 1
    hidden = corrupted.views[0].tokens
    assert int((hidden.kind == Kind.SPECIAL).sum()) == 1  # as many as user 0 has


def test_pairs_are_refused(shop: Graph, making: Any) -> None:
    paths = {"name": "path_subgraph", "metapaths": [["rates", "rated_by", "rates"]]}
    preparation = making.prepared(shop, paths, "subgraph", torch.tensor([[0, 16]]))
    with pytest.raises(GraphRecError, match="roots that are nodes"):
        objective.build(NAME).corrupt(making.examples(preparation, [0]))
    ego = making.prepared(shop, {"name": "ego"}, "subgraph", Sets.of([[0, 16]]))
    with pytest.raises(GraphRecError, match="roots that are nodes"):
        objective.build(NAME).corrupt(making.examples(ego, [0]))


def test_gradients(ring: Graph, making: Any, hand: Any) -> None:
    examples = making.examples(making.prepared(ring, PAST, EVENTS, torch.arange(24)), [0, 5, 9])
    assert hand.gradients_hold(NAME, examples)


def crowd(small: Callable[..., Graph], shelves: Sequence[Sequence[int]]) -> Graph:
    """Return 32 users, each of whom takes six items of one shelf in any order."""
    draw = np.random.default_rng(0)
    steps = [
        (user, int(item), time)
        for user in range(32)
        for time, item in enumerate(draw.permutation(shelves[user % len(shelves)])[:6])
    ]
    return small([32, 12, 1], steps, [(0, 0)])


def test_learns_who_takes_what(small: Any, fit: Callable[..., Any]) -> None:
    given: dict[str, Any] = {
        "structure": {"position": 8},
        "width": 32,
        "rate": 5e-3,
        "batch": 128,
        "steps": 30,
    }
    roots = torch.arange(32).repeat(4)
    # The other segment is of the other shelf for 16 of 31 users; the rest cannot be told.
    apart = crowd(small, [range(6), range(6, 12)])
    found = fit(apart, NAME, PAST, EVENTS, roots, **given)
    assert found.losses[0] > 0.9 * log(2)
    assert found.last < 1.2 * 15 / 31 * log(2)
    together = crowd(small, [range(12)])
    found = fit(together, NAME, PAST, EVENTS, roots, **given)
    assert found.last > 0.9 * log(2)

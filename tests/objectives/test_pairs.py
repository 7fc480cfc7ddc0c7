"""Pairs of users and items, and the two losses over them."""

from collections.abc import Callable
from dataclasses import replace
from math import exp, log
from typing import Any

import pytest
import torch

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.graph.graph import Graph
from graphrec_pt.graph.spec import GraphSpec
from graphrec_pt.objectives.objective import objective
from graphrec_pt.objectives.pairs import Pairs, bce, bpr, checked_relation, positives
from graphrec_pt.tokens.kind import Kind

PAST, EVENTS = {"name": "history"}, {"name": "history"}


def test_the_last_event_is_taken_out(toy: Graph, making: Any) -> None:
    preparation = making.prepared(
        toy, PAST, {**EVENTS, "root": True, "eos": True}, torch.tensor([0, 1])
    )
    examples = making.examples(preparation, [0, 1])
    found = positives(examples, toy.schema.relation("rates"))
    assert found.row.tolist() == [0, 1]
    assert found.source.tolist() == [0, 1]
    assert found.target.tolist() == [3, 4]
    nodes = found.tokens.kind == Kind.NODE
    assert found.tokens.id[nodes].tolist() == [0, 2, 1, 3]
    assert found.tokens.position.tolist() == [0, 1, 2, 0, 1, 2]  # EOS moved up
    assert found.tokens.ptr.tolist() == [0, 3, 6]


def test_the_hidden_edge_comes_first(toy: Graph, making: Any) -> None:
    rates = toy.edges("rates")
    first = {
        (s, t): e
        for s, t, e in zip(
            *(c.tolist() for c in (rates.source, rates.target, rates.edge)), strict=True
        )
    }
    exclude = torch.tensor([first[0, 2], -1])
    preparation = making.prepared(toy, PAST, EVENTS, torch.tensor([0, 1]), exclude)
    found = positives(making.examples(preparation, [0, 1]), toy.schema.relation("rates"))
    assert found.target.tolist() == [2, 4]
    # User 0 keeps item 3, for 2 was never there; user 1 gives item 4 away.
    assert found.tokens.id.tolist() == [3, 3]


def test_sequences_with_nothing_left_are_left_out(small: Any, making: Any) -> None:
    graph = small([3, 3, 1], [(0, 0, 1), (1, 0, 1), (1, 2, 2)], [(0, 0)])
    preparation = making.prepared(graph, PAST, EVENTS, torch.arange(3))
    examples = making.examples(preparation, torch.arange(3))
    rates = graph.schema.relation("rates")
    assert positives(examples, rates).row.tolist() == [1]
    assert positives(examples, rates, needs_tokens=False).row.tolist() == [0, 1]


@pytest.mark.parametrize("popularity", [0.0, 0.75])
def test_negatives_are_never_true(ring: Graph, making: Any, popularity: float) -> None:
    preparation = making.prepared(ring, PAST, EVENTS, torch.arange(24))
    chosen = Pairs(negatives=5, popularity=popularity)
    drawn = [
        chosen.corrupt(making.examples(preparation, torch.arange(24), epoch=epoch), "test")
        for epoch in (0, 1)
    ]
    for corrupted in drawn:
        at = corrupted.targets
        assert at["negative"].shape == (24, 5)
        for user, negatives in zip(at["source"].tolist(), at["negative"].tolist(), strict=True):
            assert not set(negatives) & set(ring.neighbors(user, "rates").tolist())
            assert all(24 <= item < 36 for item in negatives)
    assert not torch.equal(drawn[0].targets["negative"], drawn[1].targets["negative"])


def test_popular_items_are_drawn_more_often(small: Any, making: Any) -> None:
    rates = [(u, 0, 1) for u in range(1, 9)] + [(0, 1, 1), (0, 1, 2), (9, 2, 1)]
    graph = small([10, 3, 1], rates, [(0, 0)])
    preparation = making.prepared(graph, PAST, EVENTS, torch.tensor([0]))
    chosen = Pairs(negatives=900, popularity=1.0)
    drawn = chosen.corrupt(making.examples(preparation, [0]), "test").targets["negative"]
    assert (drawn == 10).float().mean().item() == pytest.approx(8 / 9, abs=0.04)


def test_who_likes_everything_has_no_negatives_and_no_term(small: Any, making: Any) -> None:
    graph = small([2, 2, 1], [(0, 0, 1), (0, 1, 2), (1, 0, 1), (1, 0, 2)], [(0, 0)])
    preparation = making.prepared(graph, PAST, EVENTS, torch.arange(2))
    corrupted = Pairs().corrupt(making.examples(preparation, [0, 1]), "test")
    assert corrupted.count == 1
    assert corrupted.targets["source"].tolist() == [1]
    assert corrupted.targets["negative"].tolist() == [[3]]
    assert len(corrupted.views[0].tokens) == 1


def test_two_towers_encode_nothing(toy: Graph, making: Any, hand: Any) -> None:
    preparation = making.prepared(toy, PAST, EVENTS, torch.tensor([0]))
    chosen = Pairs(user="vector", temperature=0.5)
    corrupted = chosen.corrupt(making.examples(preparation, [0]), "test")
    assert corrupted.views == ()
    assert corrupted.targets["positive"].tolist() == [3]
    assert corrupted.targets["negative"].tolist() == [[4]]
    vectors = {"user": [[1, 2], [0, 0]], "item": [[0, 0], [3, 4], [1, -1]]}
    model = hand.model(toy, vectors)
    true, false = chosen.scores([], corrupted.targets, model, chosen.head(2))
    assert (true.tolist(), false.tolist()) == ([22.0], [[-2.0]])
    cosine = Pairs(user="vector", cosine=True)
    true, false = cosine.scores([], corrupted.targets, model, cosine.head(2))
    assert true.item() == pytest.approx(11 / 5 / 5**0.5)
    assert false.item() == pytest.approx(-1 / 2**0.5 / 5**0.5)


def test_roots_of_another_type_are_refused(toy: Graph, making: Any) -> None:
    hops = making.prepared(toy, {"name": "k_hop", "fanout": [2]}, "subgraph", torch.tensor([2]))
    examples = making.examples(hops, [0])
    with pytest.raises(GraphRecError, match="roots of type 'user', got 'item'"):
        Pairs().corrupt(examples, "test")
    pairs = replace(examples, roots=torch.tensor([[0, 2]]))
    with pytest.raises(GraphRecError, match="got pairs or sets"):
        Pairs().corrupt(pairs, "test")


def test_a_relation_is_found_or_refused(toy: Graph) -> None:
    spec = GraphSpec.of(toy)
    assert checked_relation(spec, None) == "rates"
    with pytest.raises(GraphRecError, match="did you mean 'rates'"):
        checked_relation(spec, "rate")
    tame = [each.model_copy(update={"interaction": False}) for each in spec.relations]
    with pytest.raises(GraphRecError, match="an interaction relation"):
        checked_relation(spec.model_copy(update={"relations": tuple(tame)}), None)


def test_bpr_by_hand() -> None:
    positive, negative = torch.tensor([2.0, 0.0]), torch.tensor([[1.0, 2.0], [3.0, -1.0]])
    margins = [1, 0, -3, 1]
    expected = sum(log(1 + exp(-margin)) for margin in margins) / 4
    assert bpr(positive, negative).item() == pytest.approx(expected)
    assert bpr(positive[:0], negative[:0]).item() == 0


def test_pairwise_by_hand(toy: Graph, making: Any, hand: Any) -> None:
    chosen: Any = objective.build("pairwise")
    preparation = making.prepared(toy, PAST, EVENTS, torch.tensor([0]))
    corrupted = chosen.corrupt(making.examples(preparation, [0]))
    assert corrupted.views[0].tokens.id.tolist() == [2]  # item 3 is to be found, 4 is the other
    model = hand.model(toy, {"item": [[0, 0], [3, 4], [1, -1]]})
    loss = chosen.loss([hand.encoded([[0.5, 0.25]])], corrupted, model, chosen.head(None, 2))
    assert loss.item() == pytest.approx(log(1 + exp(-(2.5 - 0.25))))


@pytest.mark.parametrize("user", ["state", "vector"])
def test_gradients_of_pairwise(toy: Graph, making: Any, hand: Any, user: str) -> None:
    examples = making.examples(making.prepared(toy, PAST, EVENTS, torch.tensor([0, 1])), [0, 1])
    pairs = {"user": user, "cosine": True, "temperature": 0.5, "negatives": 2}
    assert hand.gradients_hold({"name": "pairwise", "pairs": pairs}, examples)


@pytest.mark.parametrize("user", ["state", "vector"])
def test_pairwise_learns(board: Graph, fit: Callable[..., Any], user: str) -> None:
    """On the checkerboard what is liked has the user's colour, negatives have the other one."""
    users = torch.tensor(list(board.nodes("user")))
    config = {"name": "pairwise", "pairs": {"user": user, "pool": "mean", "negatives": 4}}
    found = fit(board, config, PAST, EVENTS, users, steps=60, rate=3e-2)
    # A user's own item has the own colour and is a negative too: one in nine cannot be told.
    assert found.losses[0] > 0.9 * log(2)
    assert found.last < 0.6 * log(2)


def test_bce_by_hand() -> None:
    positive, negative = torch.tensor([2.0, 0.0]), torch.tensor([[1.0, 2.0], [3.0, -1.0]])
    true = [log(1 + exp(-score)) for score in (2, 0)]
    false = [log(1 + exp(score)) for score in (1, 2, 3, -1)]
    assert bce(positive, negative).item() == pytest.approx(sum(true + false) / 6)
    assert bce(positive[:0], negative[:0]).item() == 0


def test_the_sigmoid_is_applied_once(toy: Graph, making: Any, hand: Any) -> None:
    chosen: Any = objective.build({"name": "pointwise", "pairs": {"user": "vector"}})
    preparation = making.prepared(toy, PAST, EVENTS, torch.tensor([0]))
    corrupted = chosen.corrupt(making.examples(preparation, [0]))
    model = hand.model(toy, {"user": [[1, 2], [0, 0]], "item": [[0, 0], [3, 4], [1, -1]]})
    loss = chosen.loss([], corrupted, model, chosen.head(None, 2))
    # Scores 11 and −1; a second sigmoid could not come near the first logarithm.
    assert loss.item() == pytest.approx((log(1 + exp(-11)) + log(1 + exp(-1))) / 2)


@pytest.mark.parametrize("user", ["state", "vector"])
def test_gradients_of_pointwise(toy: Graph, making: Any, hand: Any, user: str) -> None:
    examples = making.examples(making.prepared(toy, PAST, EVENTS, torch.tensor([0, 1])), [0, 1])
    pairs = {"user": user, "temperature": 2.0, "negatives": 2}
    assert hand.gradients_hold({"name": "pointwise", "pairs": pairs}, examples)


def test_pointwise_learns(board: Graph, fit: Callable[..., Any]) -> None:
    users = torch.tensor(list(board.nodes("user")))
    config = {"name": "pointwise", "pairs": {"user": "vector", "negatives": 1}}
    found = fit(board, config, PAST, EVENTS, users, steps=80, rate=3e-2)
    assert found.losses[0] == pytest.approx(log(2), abs=0.02)
    assert found.last < 0.7 * log(2)

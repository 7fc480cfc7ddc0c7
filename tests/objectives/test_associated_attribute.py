"""Associated attributes: the item's own, by its vector or by its state."""

from collections.abc import Callable
from math import exp, log
from typing import Any

import pytest
import torch

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.graph.graph import Graph
from graphrec_pt.graph.outline import Outline
from graphrec_pt.objectives.objective import objective
from graphrec_pt.tokens.kind import Kind, Special

NAME = "associated_attribute"
PAST, EVENTS = {"name": "history"}, {"name": "history"}


def straight(chosen: Any, graph: Graph) -> Any:
    """Return the head with W = I."""
    head = chosen.head(Outline.of(graph), 2).double()
    with torch.no_grad():
        head.map.weight.copy_(torch.eye(2))
        head.map.bias.zero_()
    return head


@pytest.mark.parametrize(("over", "share"), [("mean", 4), ("sum", 2)])
def test_by_hand(toy: Graph, making: Any, hand: Any, over: str, share: int) -> None:
    chosen: Any = objective.build({"name": NAME, "relation": "made_by", "over": over})
    corrupted = chosen.corrupt(
        making.examples(making.prepared(toy, PAST, EVENTS, torch.tensor([0])), [0])
    )
    model = hand.model(toy, {"item": [[1, 0], [0, 1], [1, 1]], "brand": [[1, 2], [-1, 0]]})
    # Item 2 scores 1 and −1 with brands 5 and 6 and has the first; item 3 scores 2 and 0, has both.
    total = 2 * log(1 + exp(-1)) + log(1 + exp(-2)) + log(2)
    loss = chosen.loss([], corrupted, model, straight(chosen, toy))
    assert loss.item() == pytest.approx(total / share)


def test_states_are_read_where_asked(toy: Graph, making: Any, hand: Any) -> None:
    chosen: Any = objective.build({"name": NAME, "relation": "made_by", "contextual": True})
    corrupted = chosen.corrupt(
        making.examples(making.prepared(toy, PAST, EVENTS, torch.tensor([0])), [0])
    )
    model = hand.model(toy, {"brand": [[1, 2], [-1, 0]]})
    encoded = hand.encoded([[1, 0], [0, 1]])
    total = 2 * log(1 + exp(-1)) + log(1 + exp(-2)) + log(2)
    loss = chosen.loss([encoded], corrupted, model, straight(chosen, toy))
    assert loss.item() == pytest.approx(total / 4)


def test_items_without_attributes_are_not_asked(toy: Graph, making: Any) -> None:
    chosen: Any = objective.build({"name": NAME, "relation": "made_by"})
    preparation = making.prepared(toy, PAST, EVENTS, torch.tensor([0, 1]))
    corrupted = chosen.corrupt(making.examples(preparation, [0, 1]))
    assert corrupted.targets["node"].tolist() == [2, 3, 3]  # and not 4
    assert corrupted.count == 3
    assert corrupted.views == ()


def test_attributes_beside_the_items_are_hidden_from_states(toy: Graph, making: Any) -> None:
    hops = {"name": "k_hop", "fanout": [3, 8]}
    preparation = making.prepared(toy, hops, "subgraph", torch.tensor([1]))
    examples = making.examples(preparation, [0])
    assert {5, 6} <= set(examples.tokens.id[examples.tokens.kind == Kind.NODE].tolist())
    chosen: Any = objective.build({"name": NAME, "relation": "made_by", "contextual": True})
    seen = chosen.corrupt(examples).views[0].tokens
    assert not {5, 6} & set(seen.id[seen.kind == Kind.NODE].tolist())
    hidden = seen.kind == Kind.SPECIAL
    assert set(seen.id[hidden].tolist()) == {int(Special.MASK)}
    assert torch.equal(hidden, examples.tokens.type == 2)


@pytest.mark.parametrize("contextual", [False, True])
def test_gradients(toy: Graph, making: Any, hand: Any, contextual: bool) -> None:
    examples = making.examples(making.prepared(toy, PAST, EVENTS, torch.tensor([0, 1])), [0, 1])
    config = {"name": NAME, "relation": "made_by", "contextual": contextual}
    assert hand.gradients_hold(config, examples)


@pytest.mark.parametrize("contextual", [False, True])
def test_learns(ring: Graph, fit: Callable[..., Any], contextual: bool) -> None:
    config = {"name": NAME, "relation": "made_by", "contextual": contextual}
    found = fit(ring, config, PAST, EVENTS, torch.arange(24), steps=60, rate=3e-2)
    chance = -0.25 * log(0.25) - 0.75 * log(0.75)  # one brand of four
    assert found.losses[0] > chance
    assert found.last < 0.4 * chance


def test_an_unknown_relation_is_refused(toy: Graph) -> None:
    chosen: Any = objective.build({"name": NAME, "relation": "maed_by"})
    with pytest.raises(GraphRecError, match="did you mean 'made_by'"):
        chosen.check(Outline.of(toy))

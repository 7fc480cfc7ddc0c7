"""Masked attributes: told by the context alone."""

from collections.abc import Callable
from math import exp, log
from typing import Any

import pytest
import torch

from graphrec_pt.graph.graph import Graph
from graphrec_pt.graph.outline import Outline
from graphrec_pt.objectives.objective import objective
from graphrec_pt.tokens.kind import Kind, Special

CONFIG = {"name": "masked_attribute", "relation": "made_by"}
PAST, EVENTS = {"name": "history"}, {"name": "history"}


def test_by_hand(toy: Graph, making: Any, hand: Any) -> None:
    chosen: Any = objective.build({**CONFIG, "masking": {"share": 0.1, "least": 0}})
    preparation = making.prepared(toy, PAST, EVENTS, torch.tensor([0]))
    corrupted = chosen.corrupt(making.examples(preparation, [0]))
    assert corrupted.targets["token"].tolist() == [1]  # the last event, item 3
    seen = corrupted.views[0].tokens
    assert seen.id.tolist() == [2, int(Special.MASK)]
    assert seen.kind.tolist() == [Kind.NODE, Kind.SPECIAL]
    model = hand.model(toy, {"brand": [[1, 2], [-1, 0]]})
    head = chosen.head(Outline.of(toy), 2).double()
    with torch.no_grad():
        head.map.weight.copy_(torch.eye(2))
        head.map.bias.zero_()
    # The state (0, 1) scores 2 with brand 5 and 0 with brand 6; item 3 has both.
    loss = chosen.loss([hand.encoded([[9, 9], [0, 1]])], corrupted, model, head)
    assert loss.item() == pytest.approx((log(1 + exp(-2)) + log(2)) / 2)


def test_the_last_item_is_always_hidden(ring: Graph, making: Any) -> None:
    preparation = making.prepared(ring, PAST, EVENTS, torch.arange(24))
    for epoch in range(3):
        examples = making.examples(preparation, torch.arange(24), epoch=epoch)
        seen = objective.build(CONFIG).corrupt(examples).views[0].tokens
        assert bool((seen.kind[seen.ptr[1:] - 1] == Kind.SPECIAL).all())
        inner = torch.bincount(seen.sequence_of()[seen.kind == Kind.SPECIAL])
        assert set(inner.tolist()) == {1, 2}  # .2 of six is one, the last or another one


def test_what_a_hidden_item_is_made_by_is_hidden_too(shop: Graph, making: Any) -> None:
    hops = {"name": "k_hop", "fanout": [4, 3]}
    users = torch.arange(15)
    examples = making.examples(making.prepared(shop, hops, "subgraph", users), users)
    chosen: Any = objective.build({**CONFIG, "masking": {"share": 0.5}})
    corrupted = chosen.corrupt(examples)
    tokens, seen = examples.tokens, corrupted.views[0].tokens
    beside = 0
    for token in corrupted.targets["token"].tolist():
        made_by = set(shop.neighbors(int(tokens.id[token]), "made_by").tolist())
        row = int(tokens.sequence_of()[token])
        inside = slice(int(tokens.ptr[row]), int(tokens.ptr[row + 1]))
        beside += len(made_by & set(tokens.id[inside].tolist()))
        nodes = seen.id[inside][seen.kind[inside] == Kind.NODE]
        assert not made_by & set(nodes.tolist())
    assert beside > 5


def test_gradients(toy: Graph, making: Any, hand: Any) -> None:
    examples = making.examples(making.prepared(toy, PAST, EVENTS, torch.tensor([0, 1])), [0, 1])
    assert hand.gradients_hold(CONFIG, examples)


def test_learns_where_the_context_tells(ring: Graph, noise: Graph, fit: Callable[..., Any]) -> None:
    chance = -0.25 * log(0.25) - 0.75 * log(0.75)  # one brand of four
    given = {"structure": {"position": 8}, "steps": 60}
    assert fit(ring, CONFIG, PAST, EVENTS, torch.arange(24), **given).last < 0.5 * chance
    assert fit(noise, CONFIG, PAST, EVENTS, torch.arange(24), **given).last > 0.65 * chance

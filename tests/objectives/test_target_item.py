"""What a history leads to: by hand, from other behaviour, and learnt."""

from collections.abc import Callable
from math import exp, log
from typing import Any

import pytest
import torch

from graphrec_pt.graph.graph import Graph
from graphrec_pt.objectives.objective import objective

NAME = "target_item"
PAST, EVENTS = {"name": "history"}, {"name": "history"}
PLAIN = {"name": NAME, "candidates": {"transform": False}}


def test_by_hand(toy: Graph, making: Any, hand: Any) -> None:
    chosen: Any = objective.build(PLAIN)
    preparation = making.prepared(toy, PAST, EVENTS, torch.tensor([0, 1]))
    corrupted = chosen.corrupt(making.examples(preparation, [0, 1]))
    assert corrupted.targets["node"].tolist() == [3, 4]
    assert corrupted.views[0].tokens.id.tolist() == [2, 3]
    model = hand.model(toy, {"item": [[1, 1], [3, 4], [0, 2]]})
    states = hand.encoded([[1, 0], [0, 0.5]], [0, 1, 2])
    # Scores 1, 3, 0 of the first history, .5, 2, 1 of the second.
    first = log(exp(1) + exp(3) + 1) - 3
    second = log(exp(0.5) + exp(2) + exp(1)) - 1
    loss = chosen.loss([states], corrupted, model, chosen.head(None, 2))
    assert loss.item() == pytest.approx((first + second) / 2)


def test_views_before_it_tell_of_a_rating(shop: Graph, making: Any) -> None:
    """Every rating is asked for once, and what was viewed before it is all that is shown."""
    sampler = {"name": "history", "relations": ["views"], "before": "exclude"}
    rated, views = shop.edges("rates"), shop.edges("views")
    preparation = making.prepared(shop, sampler, EVENTS, rated.source, rated.edge)
    every = torch.arange(len(rated.source))
    found = objective.build(PLAIN).corrupt(making.examples(preparation, every))
    assert 0 < found.count < len(every)
    row = 0
    for user, item, when in zip(rated.source, rated.target, rated.time, strict=True):
        mine = (views.source == user) & (views.time < when)
        if not bool(mine.any()):
            continue
        at = found.views[0].tokens
        shown = at.id[at.ptr[row] : at.ptr[row + 1]]
        assert sorted(shown.tolist()) == sorted(views.target[mine].tolist())
        assert found.targets["node"][row] == item
        row += 1
    assert row == found.count


def test_gradients(toy: Graph, making: Any, hand: Any) -> None:
    examples = making.examples(making.prepared(toy, PAST, EVENTS, torch.tensor([0, 1])), [0, 1])
    assert hand.gradients_hold({"name": NAME}, examples)


def test_learns(ring: Graph, noise: Graph, fit: Callable[..., Any]) -> None:
    given = {"structure": {"position": 8}, "steps": 40, "rate": 2e-2}
    chance = log(12)
    found = fit(ring, PLAIN, PAST, EVENTS, torch.arange(24), **given)
    assert found.losses[0] > 0.8 * chance
    assert found.last < 0.3 * chance
    found = fit(noise, PLAIN, PAST, EVENTS, torch.arange(384), **given)
    assert found.last > 0.8 * chance

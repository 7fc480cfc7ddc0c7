"""A history and a thinned version of it among those of others."""

from collections.abc import Callable
from math import exp, log
from typing import Any

import pytest
import torch

from graphrec_pt.graph.graph import Graph
from graphrec_pt.objectives.objective import objective

NAME = "sequence_sequence"
PAST, EVENTS = {"name": "history"}, {"name": "history"}


def test_by_hand(small: Any, making: Any, hand: Any) -> None:
    rates = [(0, 0, 1), (0, 2, 2), (1, 1, 1), (1, 2, 2), (2, 1, 1), (2, 0, 2)]
    graph = small([3, 3, 1], rates, [(0, 0)])
    chosen: Any = objective.build({"name": NAME, "temperature": 1.0})
    preparation = making.prepared(graph, PAST, EVENTS, torch.arange(3))
    corrupted = chosen.corrupt(making.examples(preparation, torch.arange(3)))
    states = hand.encoded([[2, 0], [0, 1], [0, 3]], [0, 1, 2, 3])
    version = hand.encoded([[1, 0], [0, 1], [1, 0]], [0, 1, 2, 3])
    # Histories 0 and 1 have the same next item and are no negatives of one another.
    # 0: 1 beside 1 (history 2). 1: 1 beside 0. 2: 0 beside 0 and 1.
    expected = (log(2) + log(1 + exp(-1)) + log(2 + exp(1))) / 3
    loss = chosen.loss([states, version], corrupted, None, chosen.head(None, 2))
    assert loss.item() == pytest.approx(expected)


def test_versions_lack_the_next_item_and_a_fifth_of_the_others(ring: Graph, making: Any) -> None:
    preparation = making.prepared(ring, PAST, EVENTS, torch.arange(24))
    examples = making.examples(preparation, torch.arange(24))
    whole, version = (view.tokens for view in objective.build(NAME).corrupt(examples).views)
    assert whole.lengths().tolist() == [5] * 24
    assert version.lengths().tolist() == [4] * 24
    last = examples.tokens.id[examples.tokens.ptr[1:] - 1]
    for n in range(24):
        kept, all_of_them = version.select(n).id.tolist(), whole.select(n).id.tolist()
        assert kept == [item for item in all_of_them if item in kept]
        assert int(last[n]) not in all_of_them


def test_gradients(toy: Graph, making: Any, hand: Any) -> None:
    examples = making.examples(making.prepared(toy, PAST, EVENTS, torch.tensor([0, 1])), [0, 1])
    assert hand.gradients_hold({"name": NAME, "temperature": 0.5}, examples)


def test_learns(ring: Graph, fit: Callable[..., Any]) -> None:
    config = {"name": NAME, "pool": "mean", "temperature": 0.2}
    found = fit(ring, config, PAST, EVENTS, torch.arange(12), steps=50, rate=3e-2)
    assert found.losses[0] > 0.7 * log(12)
    assert found.last < 0.4 * log(12)

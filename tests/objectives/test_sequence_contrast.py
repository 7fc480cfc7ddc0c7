"""Histories among their next items and thinned versions."""

from collections.abc import Callable
from math import exp, log
from typing import Any

import pytest
import torch
from torch.nn.functional import normalize

from graphrec_pt.features.codes import made_up_nodes
from graphrec_pt.features.node_features import Features
from graphrec_pt.graph.graph import Graph
from graphrec_pt.models.model import Model
from graphrec_pt.objectives.objective import objective

PAST, EVENTS = {"name": "history"}, {"name": "history"}


def test_sequence_item_by_hand(toy: Graph, making: Any, hand: Any) -> None:
    chosen: Any = objective.build({"name": "sequence_item", "temperature": 0.5})
    preparation = making.prepared(toy, PAST, EVENTS, torch.tensor([0, 1]))
    corrupted = chosen.corrupt(making.examples(preparation, [0, 1]))
    assert corrupted.targets["node"].tolist() == [3, 4]
    assert corrupted.views[0].tokens.id.tolist() == [2, 3]
    model = hand.model(toy, {"item": [[7, 7], [3, 4], [0, 2]]})
    states = hand.encoded([[2, 0], [0, 5]], [0, 1, 2])
    # Cosines .6 and 0 of the first history, .8 and 1 of the second.
    expected = (log(1 + exp((0 - 0.6) / 0.5)) + log(1 + exp((0.8 - 1) / 0.5))) / 2
    loss = chosen.loss([states], corrupted, model, chosen.head(None, 2))
    assert loss.item() == pytest.approx(expected)


def test_the_same_next_item_is_no_negative(small: Any, making: Any, hand: Any) -> None:
    rates = [(0, 0, 1), (0, 2, 2), (1, 1, 1), (1, 2, 2), (2, 1, 1), (2, 0, 2)]
    graph = small([3, 3, 1], rates, [(0, 0)])
    chosen: Any = objective.build({"name": "sequence_item", "temperature": 1.0})
    preparation = making.prepared(graph, PAST, EVENTS, torch.arange(3))
    corrupted = chosen.corrupt(making.examples(preparation, torch.arange(3)))
    assert corrupted.targets["node"].tolist() == [5, 5, 3]
    model = hand.model(graph, {"item": [[0, 1], [1, 1], [1, 0]]})
    states = hand.encoded([[1, 0], [0, 1], [0, 1]], [0, 1, 2, 3])
    # Two find item 5 beside item 3 alone: 1 to 0 and 0 to 1. The third finds 3 beside 5 twice.
    expected = (log(1 + exp(-1)) + log(1 + exp(1)) + log(1 + 2 * exp(-1))) / 3
    loss = chosen.loss([states], corrupted, model, chosen.head(None, 2))
    assert loss.item() == pytest.approx(expected)


def test_made_up_items_are_negatives_of_the_whole_batch(
    shop: Graph, making: Any, hand: Any
) -> None:
    codes = {"name": "codes", "of": "vector", "digits": 2, "values": 3}
    features = Features(by_type={"item": [codes]})
    model = Model.of(shop, features=features, backbone={"name": "graph_transformer", "width": 4})
    chosen: Any = objective.build({"name": "sequence_item", "made_up": 0.75, "temperature": 1.0})
    preparation = making.prepared(shop, PAST, EVENTS, torch.arange(8))
    corrupted = chosen.corrupt(making.examples(preparation, torch.arange(8)))
    node, bits = corrupted.targets["node"], corrupted.targets["bits"]
    with torch.no_grad():
        encoded = model.encode(corrupted.views[0])
        state = normalize(encoded.pooled("last"), dim=1)
        true = normalize(model.nodes(node), dim=1)
        false = normalize(made_up_nodes(model.features, "item", node, bits, 0.75), dim=1)
        total = 0.0
        for row in range(len(node)):
            scores = [float(state[row] @ true[row])]
            scores += [
                float(state[row] @ t) for t, n in zip(true, node, strict=True) if n != node[row]
            ]
            scores += [float(state[row] @ f) for f in false]
            total += log(sum(exp(s) for s in scores)) - scores[0]
        loss = chosen.loss([encoded], corrupted, model, chosen.head(None, 4))
    assert loss.item() == pytest.approx(total / len(node), rel=1e-5)


def test_gradients_of_sequence_item(toy: Graph, making: Any, hand: Any) -> None:
    examples = making.examples(making.prepared(toy, PAST, EVENTS, torch.tensor([0, 1])), [0, 1])
    assert hand.gradients_hold({"name": "sequence_item", "temperature": 0.5}, examples)


def test_sequence_item_learns(ring: Graph, noise: Graph, fit: Callable[..., Any]) -> None:
    given = {"structure": {"position": 8}, "steps": 40, "rate": 2e-2}
    chance = log(12)  # 24 histories end at twelve items, two at each
    config = {"name": "sequence_item", "temperature": 0.2}
    found = fit(ring, config, PAST, EVENTS, torch.arange(24), **given)
    assert found.losses[0] > 0.8 * chance
    assert found.last < 0.3 * chance
    found = fit(noise, config, PAST, EVENTS, torch.arange(384), **given)
    assert found.last > 0.9 * chance  # 32 histories at once, more than twelve choices


def test_sequence_sequence_by_hand(small: Any, making: Any, hand: Any) -> None:
    rates = [(0, 0, 1), (0, 2, 2), (1, 1, 1), (1, 2, 2), (2, 1, 1), (2, 0, 2)]
    graph = small([3, 3, 1], rates, [(0, 0)])
    chosen: Any = objective.build({"name": "sequence_sequence", "temperature": 1.0})
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
    whole, version = (
        view.tokens for view in objective.build("sequence_sequence").corrupt(examples).views
    )
    assert whole.lengths().tolist() == [5] * 24
    assert version.lengths().tolist() == [4] * 24
    last = examples.tokens.id[examples.tokens.ptr[1:] - 1]
    for n in range(24):
        kept, all_of_them = version.select(n).id.tolist(), whole.select(n).id.tolist()
        assert kept == [item for item in all_of_them if item in kept]
        assert int(last[n]) not in all_of_them


def test_gradients_of_sequence_sequence(toy: Graph, making: Any, hand: Any) -> None:
    examples = making.examples(making.prepared(toy, PAST, EVENTS, torch.tensor([0, 1])), [0, 1])
    assert hand.gradients_hold({"name": "sequence_sequence", "temperature": 0.5}, examples)


def test_sequence_sequence_learns(ring: Graph, fit: Callable[..., Any]) -> None:
    config = {"name": "sequence_sequence", "pool": "mean", "temperature": 0.2}
    found = fit(ring, config, PAST, EVENTS, torch.arange(12), steps=50, rate=3e-2)
    assert found.losses[0] > 0.7 * log(12)
    assert found.last < 0.4 * log(12)

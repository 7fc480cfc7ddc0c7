"""Sets from sets: self-prediction and dual prediction."""

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

HOPS = {"name": "k_hop", "fanout": [8, 8]}
CLS = {"name": "subgraph", "cls": True}
DUAL = {"name": "set_prediction", "source": "item", "target": "brand"}
SELF = {**DUAL, "target": "item"}


def examples_of(graph: Graph, making: Any, users: list[int], epoch: int = 0) -> Any:
    preparation = making.prepared(graph, HOPS, CLS, torch.tensor(users))
    return making.examples(preparation, torch.arange(len(users)), epoch=epoch)


def test_by_hand(toy: Graph, making: Any, hand: Any) -> None:
    chosen: Any = objective.build(DUAL)
    corrupted = chosen.corrupt(examples_of(toy, making, [0, 1]))
    seen = corrupted.views[0].tokens
    assert seen.lengths().tolist() == [3, 3]  # CLS and two items each
    assert corrupted.targets["token"].tolist() == [0, 3]
    assert corrupted.targets["row"].tolist() == [0, 0, 1, 1]
    assert corrupted.targets["label"].tolist() == [0, 1, 0, 1]
    head = chosen.head(Outline.of(toy), 2).double()
    with torch.no_grad():
        head.map.weight.copy_(torch.eye(2))
        head.map.bias.zero_()
    model = hand.model(toy, {"brand": [[1, 2], [-1, 0]]})
    states = hand.encoded([[1, 1], [8, 8], [8, 8], [0, -1], [8, 8], [8, 8]], [0, 3, 6])
    # CLS scores 3 and −1 in the first visit, −2 and 0 in the second; both brands are in both.
    terms = [log(1 + exp(-3)), log(1 + exp(1)), log(1 + exp(2)), log(2)]
    loss = chosen.loss([states], corrupted, model, head)
    assert loss.item() == pytest.approx(sum(terms) / 4)


def test_the_whole_set_is_asked_for_and_only_the_source_is_seen(shop: Graph, making: Any) -> None:
    users = list(range(16))
    for config in (SELF, DUAL):
        source, target = (shop.schema.node_index(config[side]) for side in ("source", "target"))
        examples = examples_of(shop, making, users)
        corrupted = objective.build(config).corrupt(examples)
        seen, row = corrupted.views[0].tokens, 0
        for n in range(len(users)):
            tokens = examples.tokens.select(n)
            have = set(tokens.id[(tokens.kind == Kind.NODE) & (tokens.type == target)].tolist())
            told = (tokens.kind == Kind.NODE) & (tokens.type == source)
            if not have or not bool(told.any()):
                continue
            labels = corrupted.targets["label"][corrupted.targets["row"] == row]
            assert {shop.nodes(config["target"]).start + a for a in labels.tolist()} == have
            shown = seen.select(row)
            assert shown.id[0] == Special.CLS
            assert set(shown.type[1:].tolist()) == {source}
            assert len(shown.id) == 1 + int(told.sum())
            row += 1
        assert row == corrupted.count > 10


def test_codes_are_swapped_for_codes_of_their_type(shop: Graph, making: Any) -> None:
    config = {**SELF, "masking": {"share": 1.0, "mask": 0.0, "random": 1.0}}
    swapped = 0
    for epoch in range(3):
        examples = examples_of(shop, making, list(range(15)), epoch)
        corrupted = objective.build(config).corrupt(examples)
        seen = corrupted.views[0].tokens
        nodes = seen.id[seen.kind == Kind.NODE]
        items = shop.nodes("item")
        assert bool(((nodes >= items.start) & (nodes < items.stop)).all())
        swapped += len(nodes)
    assert swapped > 100


def test_everybody_sees_cls(toy: Graph, making: Any, hand: Any) -> None:
    corrupted = objective.build(DUAL).corrupt(examples_of(toy, making, [0]))
    model = hand.model(toy, {"item": [[1, 0], [0, 1], [1, 1]]}).eval()
    before = model.encode(corrupted.views[0]).hidden.detach()
    with torch.no_grad():
        model.embedding.special.weight[Special.CLS] = torch.tensor([3.0, -3.0])
    after = model.encode(corrupted.views[0]).hidden.detach()
    assert bool((before[1:] != after[1:]).any())


def test_visits_without_cls_are_refused(toy: Graph, making: Any) -> None:
    preparation = making.prepared(toy, HOPS, "subgraph", torch.tensor([0]))
    with pytest.raises(GraphRecError, match="sequences with CLS"):
        objective.build(DUAL).corrupt(making.examples(preparation, [0]))


@pytest.mark.parametrize("config", [SELF, DUAL])
def test_gradients(toy: Graph, making: Any, hand: Any, config: dict[str, Any]) -> None:
    assert hand.gradients_hold(config, examples_of(toy, making, [0, 1]))


def test_learns(ring: Graph, fit: Callable[..., Any]) -> None:
    """Six of twelve items, which make two or three of four brands."""
    share = 2.5 / 4
    chance = -share * log(share) - (1 - share) * log(1 - share)
    found = fit(ring, DUAL, HOPS, CLS, torch.arange(24), steps=60, rate=2e-2)
    assert found.last < 0.5 * chance

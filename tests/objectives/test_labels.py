"""Labels: many at once, of hidden items and of any."""

from collections.abc import Callable
from math import exp, log
from typing import Any

import pytest
import torch

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.features.seeded import seeded
from graphrec_pt.graph.graph import Graph
from graphrec_pt.graph.spec import GraphSpec
from graphrec_pt.models.heads import LabelHead
from graphrec_pt.objectives.labels import Labels, linked, multi_label_loss
from graphrec_pt.objectives.objective import objective
from graphrec_pt.tokens.kind import Kind, Special


def test_linked_follows_the_relation_once(toy: Graph) -> None:
    found = linked(toy, "made_by", torch.tensor([3, 4, 2, 3]))
    assert found.row.tolist() == [0, 0, 2, 3, 3]
    assert found.label.tolist() == [0, 1, 0, 0, 1]


def test_pairs_come_once() -> None:
    row, label = torch.tensor([1, 0, 1, 1]), torch.tensor([2, 1, 2, 0])
    found = Labels.of(row, label, 3)
    assert (found.row.tolist(), found.label.tolist()) == ([0, 1, 1], [1, 0, 2])


def test_the_loss_is_the_binary_cross_entropy_of_every_node() -> None:
    scores = [[1.5, -0.5, 0.0], [-2.0, 3.0, 1.0]]
    belongs = [[1, 0, 0], [0, 1, 1]]
    total = sum(
        -log(1 / (1 + exp(-s))) if y else -log(1 - 1 / (1 + exp(-s)))
        for row, yes in zip(scores, belongs, strict=True)
        for s, y in zip(row, yes, strict=True)
    )
    labels = Labels(torch.tensor([0, 1, 1]), torch.tensor([0, 1, 2]))
    given = torch.tensor(scores, dtype=torch.float64)
    assert float(multi_label_loss(given, labels)) == pytest.approx(total / 6)
    assert float(multi_label_loss(given, labels, "sum")) == pytest.approx(total / 2)


def test_no_rows_cost_nothing() -> None:
    none = torch.zeros(0, dtype=torch.int64)
    loss = multi_label_loss(torch.zeros(0, 3, requires_grad=True), Labels(none, none))
    assert loss.item() == 0
    loss.backward()


def test_scores_are_products_of_mapped_vectors() -> None:
    head = seeded(lambda: LabelHead(2), 0).double()
    with torch.no_grad():
        head.map.weight.copy_(torch.tensor([[1.0, 2.0], [0.0, -1.0]]))
        head.map.bias.copy_(torch.tensor([0.5, 0.0]))
    hidden = torch.tensor([[1.0, 3.0]], dtype=torch.float64)
    table = torch.tensor([[1.0, 1.0], [2.0, 0.0]], dtype=torch.float64)
    # W h + b = (7.5, -3)
    assert head(hidden, table).tolist() == [[4.5, 15.0]]


PAST, EVENTS = {"name": "history"}, {"name": "history"}


def straight(chosen: Any, graph: Graph) -> Any:
    """Return the head with W = I."""
    head = chosen.head(GraphSpec.of(graph), 2).double()
    with torch.no_grad():
        head.map.weight.copy_(torch.eye(2))
        head.map.bias.zero_()
    return head


@pytest.mark.parametrize(("over", "share"), [("mean", 4), ("sum", 2)])
def test_associated_attribute_by_hand(
    toy: Graph, making: Any, hand: Any, over: str, share: int
) -> None:
    chosen: Any = objective.build(
        {"name": "associated_attribute", "relation": "made_by", "over": over}
    )
    corrupted = chosen.corrupt(
        making.examples(making.prepared(toy, PAST, EVENTS, torch.tensor([0])), [0])
    )
    model = hand.model(toy, {"item": [[1, 0], [0, 1], [1, 1]], "brand": [[1, 2], [-1, 0]]})
    # Item 2 scores 1 and −1 with brands 5 and 6 and has the first; item 3 scores 2 and 0, has both.
    total = 2 * log(1 + exp(-1)) + log(1 + exp(-2)) + log(2)
    loss = chosen.loss([], corrupted, model, straight(chosen, toy))
    assert loss.item() == pytest.approx(total / share)


def test_states_are_read_where_asked(toy: Graph, making: Any, hand: Any) -> None:
    chosen: Any = objective.build(
        {"name": "associated_attribute", "relation": "made_by", "contextual": True}
    )
    corrupted = chosen.corrupt(
        making.examples(making.prepared(toy, PAST, EVENTS, torch.tensor([0])), [0])
    )
    model = hand.model(toy, {"brand": [[1, 2], [-1, 0]]})
    encoded = hand.encoded([[1, 0], [0, 1]])
    total = 2 * log(1 + exp(-1)) + log(1 + exp(-2)) + log(2)
    loss = chosen.loss([encoded], corrupted, model, straight(chosen, toy))
    assert loss.item() == pytest.approx(total / 4)


def test_items_without_attributes_are_not_asked(toy: Graph, making: Any) -> None:
    chosen: Any = objective.build({"name": "associated_attribute", "relation": "made_by"})
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
    chosen: Any = objective.build(
        {"name": "associated_attribute", "relation": "made_by", "contextual": True}
    )
    seen = chosen.corrupt(examples).views[0].tokens
    assert not {5, 6} & set(seen.id[seen.kind == Kind.NODE].tolist())
    hidden = seen.kind == Kind.SPECIAL
    assert set(seen.id[hidden].tolist()) == {int(Special.MASK)}
    assert torch.equal(hidden, examples.tokens.type == 2)


@pytest.mark.parametrize("contextual", [False, True])
def test_gradients_of_associated_attribute(
    toy: Graph, making: Any, hand: Any, contextual: bool
) -> None:
    examples = making.examples(making.prepared(toy, PAST, EVENTS, torch.tensor([0, 1])), [0, 1])
    config = {"name": "associated_attribute", "relation": "made_by", "contextual": contextual}
    assert hand.gradients_hold(config, examples)


@pytest.mark.parametrize("contextual", [False, True])
def test_associated_attribute_learns(
    ring: Graph, fit: Callable[..., Any], contextual: bool
) -> None:
    config = {"name": "associated_attribute", "relation": "made_by", "contextual": contextual}
    found = fit(ring, config, PAST, EVENTS, torch.arange(24), steps=60, rate=3e-2)
    chance = -0.25 * log(0.25) - 0.75 * log(0.75)  # one brand of four
    assert found.losses[0] > chance
    assert found.last < 0.4 * chance


def test_an_unknown_relation_is_refused(toy: Graph) -> None:
    chosen: Any = objective.build({"name": "associated_attribute", "relation": "maed_by"})
    with pytest.raises(GraphRecError, match="did you mean 'made_by'"):
        chosen.check(GraphSpec.of(toy))


CONFIG = {"name": "masked_attribute", "relation": "made_by"}


def test_masked_attribute_by_hand(toy: Graph, making: Any, hand: Any) -> None:
    chosen: Any = objective.build({**CONFIG, "masking": {"share": 0.1, "least": 0}})
    preparation = making.prepared(toy, PAST, EVENTS, torch.tensor([0]))
    corrupted = chosen.corrupt(making.examples(preparation, [0]))
    assert corrupted.targets["token"].tolist() == [1]  # the last event, item 3
    seen = corrupted.views[0].tokens
    assert seen.id.tolist() == [2, int(Special.MASK)]
    assert seen.kind.tolist() == [Kind.NODE, Kind.SPECIAL]
    model = hand.model(toy, {"brand": [[1, 2], [-1, 0]]})
    head = chosen.head(GraphSpec.of(toy), 2).double()
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


def test_gradients_of_masked_attribute(toy: Graph, making: Any, hand: Any) -> None:
    examples = making.examples(making.prepared(toy, PAST, EVENTS, torch.tensor([0, 1])), [0, 1])
    assert hand.gradients_hold(CONFIG, examples)


def test_learns_where_the_context_tells(ring: Graph, noise: Graph, fit: Callable[..., Any]) -> None:
    chance = -0.25 * log(0.25) - 0.75 * log(0.75)  # one brand of four
    given = {"structure": {"position": 8}, "steps": 60}
    assert fit(ring, CONFIG, PAST, EVENTS, torch.arange(24), **given).last < 0.5 * chance
    assert fit(noise, CONFIG, PAST, EVENTS, torch.arange(24), **given).last > 0.65 * chance

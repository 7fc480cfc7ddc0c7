"""Texts of neighbours, and two texts of one node, by hand and in a world with an answer."""

from math import exp, log
from typing import Any

import pytest
import torch

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.graph.graph import Graph
from graphrec_pt.graph.spec import GraphSpec
from graphrec_pt.objectives.objective import TrainingExamples, objective
from graphrec_pt.tokens.kind import Kind

FIELDS = {"name": "paired_contrast", "fields": [1, 2]}
KINDS = {"name": "paired_contrast", "relation": "is_a"}
SAMPLE = {"name": "k_hop", "fanout": [2], "relations": ["made_by"]}
ITEMS = torch.arange(16, 36)


def two_fields(letters: Any) -> dict[str, Any]:
    columns = {"item": ["title", "genre"]}
    return {"name": "text", "tokenizer": letters, "base": "subgraph", "columns": columns}


def spelled(view: Any) -> list[str]:
    tokens = view.tokens
    return [
        "".join(chr(each) for each in tokens.id[low:high].tolist())
        for low, high in zip(tokens.ptr[:-1].tolist(), tokens.ptr[1:].tolist(), strict=True)
    ]


def test_the_sides_are_the_fields_of_the_root(shop: Graph, making: Any, letters: Any) -> None:
    examples = making.examples(
        making.prepared(shop, SAMPLE, two_fields(letters), ITEMS), ITEMS - 16
    )
    chosen: Any = objective.build({**FIELDS, "form": "softmax", "negatives": 2})
    corrupted = chosen.corrupt(examples)
    table = shop.tables["item"].select("title", "genre").rows()
    with_both = [n for n, row in enumerate(table) if None not in row]
    assert corrupted.targets["source"].tolist() == [16 + n for n in with_both]
    assert spelled(corrupted.views[0]) == [table[n][0] for n in with_both]
    assert spelled(corrupted.views[1]) == [table[n][1] for n in with_both]
    genres = {row[1] for row in table}
    assert set(spelled(corrupted.views[2])) <= genres
    assert torch.equal(corrupted.views[1].tokens.position, corrupted.views[1].tokens.places())
    row, number = corrupted.targets["row"], corrupted.targets["number"]
    assert set(number.tolist()) == {0, 1}
    assert int(row.max()) < len(with_both)
    assert len(row) == len(corrupted.views[2].tokens)


def test_the_others_are_other_nodes_that_the_relation_does_not_reach(
    shop: Graph, making: Any
) -> None:
    codes = torch.tensor(list(shop.nodes("code")))
    examples = making.examples(making.prepared(shop, SAMPLE, "subgraph", codes), range(len(codes)))
    reading = {"form": "softmax", "negatives": 4, "read": "vector"}
    chosen: Any = objective.build({**KINDS, **reading})
    at = chosen.corrupt(examples).targets
    edges = shop.edges("is_a")
    true = set(zip(edges.source.tolist(), edges.target.tolist(), strict=True))
    assert set(zip(at["source"].tolist(), at["target"].tolist(), strict=True)) == true
    for source, others in zip(at["source"].tolist(), at["other"].tolist(), strict=True):
        assert all((source, other) not in true and other != source for other in others)


def test_only_the_root_and_its_text_are_read(shop: Graph, making: Any, letters: Any) -> None:
    codes = torch.tensor(list(shop.nodes("code")))
    wide = {"name": "k_hop", "fanout": [4, 2]}
    examples = making.examples(making.prepared(shop, wide, "subgraph", codes), range(len(codes)))
    assert int(examples.tokens.lengths().max()) > 1
    chosen: Any = objective.build(KINDS)
    corrupted = chosen.corrupt(examples)
    for view, name in zip(corrupted.views, ("source", "target"), strict=True):
        assert torch.equal(view.tokens.id, corrupted.targets[name])
        assert set(view.tokens.kind.tolist()) == {Kind.NODE}


def test_the_edge_to_predict_gives_no_pair(shop: Graph, making: Any) -> None:
    edges = shop.edges("is_a")
    hidden = edges.edge[:1]
    made = making.prepared(shop, SAMPLE, "subgraph", edges.source[:1], hidden)
    chosen: Any = objective.build(KINDS)
    assert chosen.corrupt(making.examples(made, [0])).count == 0


def test_losses_by_hand(hand: Any) -> None:
    left, right, others = (
        hand.encoded(rows, range(len(rows) + 1))
        for rows in ([[1, 0], [0, 2]], [[1, 1], [0, 1]], [[0, 3], [2, 0], [1, 0]])
    )
    half = 0.5**0.5
    nodes = {"source": torch.tensor([0, 1]), "target": torch.tensor([2, 3])}
    drawn = {"row": torch.tensor([0, 0, 1]), "number": torch.tensor([0, 1, 1])}

    def loss(*encoded: Any, at: Any = nodes, **options: Any) -> float:
        chosen: Any = objective.build({**KINDS, **options})
        given = TrainingExamples((), at, 2)
        return float(chosen.loss(encoded, given, None, torch.nn.Identity()))

    # Cosines: left × right is (√.5, 0), (√.5, 1); left × left 0; right × right √.5.
    terms = [
        log(exp(half) + 1 + 1) - half,
        log(exp(1) + exp(half) + 1) - 1,
        log(exp(half) + exp(half) + exp(half)) - half,
        log(exp(1) + 1 + exp(half)) - 1,
    ]
    assert loss(left, right, temperature=1.0) == pytest.approx(sum(terms) / 4)
    # The second source is also the first target: neither is a negative of the other.
    shared = {"source": torch.tensor([0, 1]), "target": torch.tensor([1, 3])}
    kept = [
        log(exp(half) + 1) - half,  # right 2 alone
        log(exp(1) + 1) - 1,  # left 1 alone
        log(exp(half) + exp(half)) - half,  # right 2 alone
        log(exp(1) + 1) - 1,  # left 1 alone: right 1 is the positive's node
    ]
    assert loss(left, right, at=shared, temperature=1.0) == pytest.approx(sum(kept) / 4)
    # Others of the first pair: cosines 0 and 1; of the second one alone: 0.
    terms = [log(exp(half) + 1 + exp(1)) - half, log(exp(1) + 1) - 1]
    chosen = {"form": "softmax", "negatives": 2, "temperature": 1.0}
    assert loss(left, right, others, at=nodes | drawn, **chosen) == pytest.approx(sum(terms) / 2)
    chances = [(1 + half) / 2, 1 - 1e-6, 1 / 2, 1e-6, 1 / 2]
    expected = -sum(map(log, chances)) / 5
    found = loss(left, right, others, at=nodes | drawn, form="bce", negatives=2)
    assert found == pytest.approx(expected, abs=1e-5)


def test_gradients(shop: Graph, making: Any, hand: Any) -> None:
    codes = torch.tensor(list(shop.nodes("code")))
    examples = making.examples(making.prepared(shop, SAMPLE, "subgraph", codes), range(len(codes)))
    for options in ({"projection": True}, {"form": "softmax", "negatives": 2}, {"form": "bce"}):
        assert hand.gradients_hold({**KINDS, **options}, examples)
    for form in ("nt_xent", "softmax"):
        assert hand.gradients_hold({**KINDS, "read": "vector", "form": form}, examples)


def test_options_that_do_not_fit(shop: Graph) -> None:
    for options in ({"fields": None}, {"relation": "is_a"}, {"fields": [1, 1]}, {"read": "vector"}):
        with pytest.raises(GraphRecError, match="paired_contrast"):
            objective.build({**FIELDS, **options})
    chosen: Any = objective.build({"name": "paired_contrast", "relation": "rates"})
    with pytest.raises(GraphRecError, match="same type"):
        chosen.check(GraphSpec.of(shop))

"""Sets from sets, and sets of roots."""

from collections.abc import Callable
from math import exp, log
from typing import Any

import pytest
import torch
from torch.nn.functional import binary_cross_entropy_with_logits

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.data.build import build
from graphrec_pt.graph.graph import Graph
from graphrec_pt.graph.spec import GraphSpec
from graphrec_pt.graph.split import split
from graphrec_pt.models.model import Model
from graphrec_pt.models.view import Encoded
from graphrec_pt.objectives.objective import objective
from graphrec_pt.tokens.kind import Kind, Special
from graphrec_pt.tokens.tokens import Tokens

HOPS = {"name": "k_hop", "fanout": [8, 8]}

CLS = {"name": "subgraph", "cls": True}

DUAL = {"name": "set_prediction", "source": "item", "target": "brand"}

SELF = {**DUAL, "target": "item"}


def examples_of(graph: Graph, making: Any, users: list[int], epoch: int = 0) -> Any:
    preparation = making.prepared(graph, HOPS, CLS, torch.tensor(users))
    return making.examples(preparation, torch.arange(len(users)), epoch=epoch)


def test_set_prediction_by_hand(toy: Graph, making: Any, hand: Any) -> None:
    chosen: Any = objective.build(DUAL)
    corrupted = chosen.corrupt(examples_of(toy, making, [0, 1]))
    seen = corrupted.views[0].tokens
    assert seen.lengths().tolist() == [3, 3]  # CLS and two items each
    assert corrupted.targets["token"].tolist() == [0, 3]
    assert corrupted.targets["row"].tolist() == [0, 0, 1, 1]
    assert corrupted.targets["label"].tolist() == [0, 1, 0, 1]
    head = chosen.head(GraphSpec.of(toy), 2).double()
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
def test_gradients_of_set_prediction(
    toy: Graph, making: Any, hand: Any, config: dict[str, Any]
) -> None:
    assert hand.gradients_hold(config, examples_of(toy, making, [0, 1]))


def test_set_prediction_learns(ring: Graph, fit: Callable[..., Any]) -> None:
    """Six of twelve items, which make two or three of four brands."""
    share = 2.5 / 4
    chance = -share * log(share) - (1 - share) * log(1 - share)
    found = fit(ring, DUAL, HOPS, CLS, torch.arange(24), steps=60, rate=2e-2)
    assert found.last < 0.5 * chance


VISITS = [("ann", f"a{n}", n) for n in range(4)] + [("bob", "b0", 0), ("cat", "c0", 5)]

CODES = {"a0": "xy", "a1": "yz", "a2": "xw", "a3": "z", "b0": "x", "c0": "w"}

DRUGS = {"a0": "pq", "a1": "qr", "a2": "p", "a3": "rs", "b0": "s", "c0": "q"}

PAST = {"name": "past_sets", "owner": "visits", "own": ["has"], "past": ["has", "takes"]}

SETS = {"name": "subgraph", "cls": True}


def hospital(drugs: dict[str, str] = DRUGS) -> Graph:
    """Ann comes four times, bob and cat once; letters are diagnoses and drugs."""

    def members(held: dict[str, str]) -> dict[str, list[Any]]:
        pairs = [(visit, code) for visit, codes in held.items() for code in codes]
        times = {visit: time for _, visit, time in VISITS}
        return {
            "visit": [visit for visit, _ in pairs],
            "code": [code for _, code in pairs],
            "time": [times[visit] for visit, _ in pairs],
        }

    def edge(table: str, target: str) -> dict[str, Any]:
        ends = {"source": "visit.visit", "target": f"{target}.code"}
        return {"table": table, **ends, "time": "time", "interaction": True}

    user, visit, time = (list(column) for column in zip(*VISITS, strict=True))
    plan = {
        "nodes": {
            "user": {},
            "visit": {"table": "visits", "id": "visit"},
            "code": {"table": "codes", "id": "id"},
            "drug": {"table": "drugs", "id": "id"},
        },
        "edges": {
            "takes": edge("taken", "drug"),
            "has": edge("found", "code"),
            "visits": {
                "table": "visits",
                "source": "user.user",
                "target": "visit.visit",
                "time": "time",
            },
        },
    }
    tables = {
        "visits": {"user": user, "visit": visit, "time": time},
        "codes": {"id": list("wxyz")},
        "drugs": {"id": list("pqrs")},
        "taken": members(drugs),
        "found": members(CODES),
    }
    return build(plan, tables, seed=None)


def asked(graph: Graph, making: Any, sampler: Any = PAST) -> Any:
    visits = torch.tensor(list(graph.nodes("visit")))
    made = making.prepared(graph, sampler, SETS, visits)
    examples = making.examples(made, torch.arange(len(visits)))
    return objective.build({"name": "root_set", "relation": "takes"}).corrupt(examples)


def letters_in(graph: Graph, tokens: Tokens, row: int, slot: int) -> str:
    """Return the letters that stand in a slot of a sequence."""
    here = (tokens.sequence_of() == row) & (tokens.slot == slot)
    return "".join(sorted(graph.raw_id(int(node)) for node in tokens.id[here]))


def test_every_visit_is_asked_with_what_is_known_of_it(making: Any) -> None:
    """Own diagnoses, diagnoses and drugs of earlier visits: from the first visit to the fourth."""
    graph = hospital()
    corrupted = asked(graph, making)
    tokens = corrupted.views[0].tokens
    expected = {
        "a0": ("xy", "", ""),
        "a1": ("yz", "xy", "pq"),
        "a2": ("wx", "xyz", "pqr"),
        "a3": ("z", "wxyz", "pqr"),
        "b0": ("x", "", ""),
        "c0": ("w", "", ""),
    }
    assert corrupted.count == 6
    for row, visit in enumerate(graph.raw_id(node) for node in graph.nodes("visit")):
        got = [letters_in(graph, tokens, row, slot) for slot in (2, 3)]
        mine = (tokens.sequence_of() == row) & (tokens.hop == 1) & (tokens.type == 2)
        own = "".join(sorted(graph.raw_id(int(node)) for node in tokens.id[mine]))
        assert (own, "".join(sorted(set(got[0]))), "".join(sorted(set(got[1])))) == expected[visit]
        wanted = corrupted.targets["label"][corrupted.targets["row"] == row]
        assert "".join("pqrs"[int(n)] for n in wanted) == "".join(sorted(DRUGS[visit]))


@pytest.mark.parametrize("visit", [f"a{n}" for n in range(4)])
def test_the_answer_changes_no_question_of_the_same_or_an_earlier_visit(
    making: Any, visit: str
) -> None:
    """The released code shows the medication that it asks for from the third visit on."""
    before, after = hospital(), hospital({**DRUGS, visit: "s" if visit != "a3" else "p"})
    views = [asked(graph, making).views[0].tokens for graph in (before, after)]
    changed = []
    for row, name in enumerate(before.raw_id(node) for node in before.nodes("visit")):
        alone = [view.select(row) for view in views]
        if not (torch.equal(alone[0].id, alone[1].id)):
            changed.append(name)
    assert changed == [name for name in ("a1", "a2", "a3") if name > visit]


@pytest.mark.parametrize(("window", "codes"), [(1, "wx"), (2, "wxyz")])
def test_a_window_of_earlier_visits(making: Any, window: int, codes: str) -> None:
    """Of ann's fourth visit: the third alone, or the second and the third."""
    graph = hospital()
    tokens = asked(graph, making, {**PAST, "window": window}).views[0].tokens
    row = graph.node_id("visit", "a3") - graph.nodes("visit").start
    assert "".join(sorted(set(letters_in(graph, tokens, row, 2)))) == codes


def test_what_a_sampler_takes_of_the_own_set_is_left_out(making: Any) -> None:
    graph = hospital()
    near = {"name": "set_of", "relations": ["has", "takes"]}
    tokens = asked(graph, making, near).views[0].tokens
    assert not (tokens.type == graph.schema.node_index("drug")).any()
    assert int((tokens.type == graph.schema.node_index("code")).sum()) == 9


def test_root_set_by_hand(making: Any) -> None:
    graph = hospital()
    corrupted = asked(graph, making)
    backbone = {"name": "graph_transformer", "width": 4, "heads": 1, "layers": 1}
    model = Model.of(graph, backbone={**backbone, "structure": {"slot": 4}})
    chosen = objective.build({"name": "root_set", "relation": "takes", "transform": False})
    with torch.device("cpu"):
        head = chosen.head(model.spec, 4)
    draw = torch.Generator().manual_seed(0)
    with torch.no_grad():
        head.bias.copy_(torch.randn(4, generator=draw))
    hidden = torch.randn(len(corrupted.views[0].tokens.id), 4, generator=draw)
    with torch.no_grad():
        loss = chosen.loss([Encoded(corrupted.views[0], hidden)], corrupted, model, head)
        first = hidden[corrupted.views[0].tokens.ptr[:-1]]
        scores = first @ model.table("drug").T + head.bias
    truth = torch.zeros(6, 4)
    for row, visit in enumerate(graph.raw_id(node) for node in graph.nodes("visit")):
        for drug in DRUGS[visit]:
            truth[row, "pqrs".index(drug)] = 1
    assert float(loss) == pytest.approx(float(binary_cross_entropy_with_logits(scores, truth)))


def test_roots_are_sets(making: Any) -> None:
    graph = hospital()
    visits = torch.tensor(list(graph.nodes("visit")))
    made = making.prepared(graph, {"name": "set_of", "relations": ["has"]}, SETS, visits)
    examples = making.examples(made, [0])
    with pytest.raises(GraphRecError, match="roots of type 'user'"):
        objective.build({"name": "root_set", "relation": "visits"}).corrupt(examples)


def test_the_last_visit_of_some_patients_is_held_out() -> None:
    """All of ann's visits leave training; diagnoses of the last are known, its drugs are not."""
    graph = hospital()
    how: dict[str, Any] = {"name": "latest_sets", "owner": "visits", "valid": 0.0, "test": 0.999}
    made = split(graph, how)
    assert dict(made.protocol)["owner"] == "visits"
    raw = graph.raw_id
    targets = zip(made.test.source.tolist(), made.test.target.tolist(), strict=True)
    assert {(raw(s), raw(t)) for s, t in targets} == {("a3", "r"), ("a3", "s")}

    def shown(view: Graph, relation: str) -> set[str]:
        return {raw(node) for node in view.edges(relation).source.tolist()}

    assert shown(made.train, "takes") == shown(made.train, "has") == {"b0", "c0"}
    assert shown(made.history("test"), "takes") == {"a0", "a1", "a2", "b0", "c0"}
    assert shown(made.history("test"), "has") == set(CODES)
    hidden = split(graph, {**how, "given": []})
    assert shown(hidden.history("test"), "has") == set(CODES) - {"a3"}
    alone = split(graph, {**how, "least": 1, "test": 0.6})  # two of the three patients
    asked = {raw(s) for s in alone.test.source.tolist()}
    assert len(asked) == 2
    assert asked < {"a3", "b0", "c0"}
    with pytest.raises(GraphRecError, match="events of 'takes' to train on"):
        split(graph, {**how, "least": 1})
    with pytest.raises(GraphRecError, match="a relation to the sources of 'takes'"):
        split(graph, {**how, "owner": "rev_visits"})


def test_what_comes_after_the_last_set_is_never_seen() -> None:
    """Where the fourth visit has no medication, the third is asked for, and the fourth is gone."""
    graph = hospital({**DRUGS, "a3": ""})
    made = split(graph, {"name": "latest_sets", "owner": "visits", "valid": 0, "test": 0.999})
    assert {graph.raw_id(s) for s in made.test.source.tolist()} == {"a2"}
    seen = {graph.raw_id(s) for s in made.history("test").edges("has").source.tolist()}
    assert seen == set(CODES) - {"a3"}

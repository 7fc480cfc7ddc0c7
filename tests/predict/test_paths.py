"""Decoded paths against a slow enumeration of every path, one token at a time."""

import math
from collections.abc import Iterator
from typing import Any

import polars as pl
import pytest
import torch

from graphrec_pt import GraphRecError, Key, Model, Stage, Trainer, split
from graphrec_pt.data.build import build
from graphrec_pt.data.plan import EdgePlan, NodePlan, Plan
from graphrec_pt.data.synthetic import synthetic_graph
from graphrec_pt.evaluation.explanations import faithful, valid_paths
from graphrec_pt.evaluation.ranking import rank_targets
from graphrec_pt.graph.graph import Graph
from graphrec_pt.models.view import View
from graphrec_pt.predict.paths import PathScorer
from graphrec_pt.predict.predictor import Predictor
from graphrec_pt.sampling.sample import Paths

ALL = 10_000


@pytest.fixture(scope="module")
def kiosk() -> Graph:
    """ann: pen, then ink, then pad; bob: ink, then cup; pen and cup by acme, ink and fan by zeta.

    Nobody leads to map: no one bought it, and nobody makes it.
    """
    buys = {
        "user": ["ann", "ann", "ann", "bob", "bob"],
        "item": ["pen", "ink", "pad", "ink", "cup"],
        "time": [1, 2, 3, 1, 2],
    }
    tables = {
        "buys": pl.DataFrame(buys),
        "items": pl.DataFrame({"item": ["pen", "ink", "pad", "cup", "fan", "map"]}),
        "made": pl.DataFrame(
            {"item": ["pen", "cup", "ink", "fan"], "brand": ["acme", "acme", "zeta", "zeta"]}
        ),
    }
    edges = {
        "buys": EdgePlan(
            table="buys",
            source="user.user",
            target="item.item",
            time="time",
            inverse="bought_by",
            interaction=True,
        ),
        "made_by": EdgePlan(
            table="made", source="item.item", target="brand.brand", inverse="makes"
        ),
    }
    nodes = {"user": NodePlan(), "item": NodePlan(table="items", id="item"), "brand": NodePlan()}
    return build(Plan(nodes=nodes, edges=edges, time_unit="ordinal"), tables)


def taught(graph: Graph, joint: bool = False, **decode: Any) -> tuple[Model, Stage]:
    """Return a model after a few steps of path autoregression, so that no two scores are equal."""
    stage = Stage(
        sampler={"name": "random_walk", "hops": 3},
        linearizer="path",
        objectives=[{"name": "path_autoregression", "joint": joint, "decode": decode}],
        batch=4,
        steps=6,
        optimization={"lr": 3e-2},
    )
    structure = {"position": 16, "type": None}
    backbone = {"name": "graph_transformer", "width": 8, "layers": 1, "structure": structure}
    model = Model.of(graph, backbone=backbone, seed=3)
    Trainer(cpu=True).fit(model, graph, stage)
    return model, stage


def scorer_of(
    model: Model, stage: Stage, history: Graph, relation: str, users: torch.Tensor
) -> PathScorer:
    scorer = Predictor(model, history, stage=stage, relation=relation).scorer(users)
    assert isinstance(scorer, PathScorer)
    return scorer


class Slow:
    """Says paths token by token, from sequences of whole paths as the stage reads them."""

    def __init__(self, model: Model, stage: Stage, graph: Graph) -> None:
        self.model, self.stage, self.graph = model, stage, graph
        self.term = stage.objectives[0]
        self.decode = self.term.objective.decode
        self.head = model.labelled_heads()[self.term.label]
        self.met = {int(n) for n in graph.neighbors(graph.node_id("user", "ann"), "buys")}

    def state(self, nodes: list[int], relations: list[int], token: int) -> torch.Tensor:
        """Return the state of one token of BOS, node, relation, node, …"""
        many = torch.tensor([relations], dtype=torch.int64).reshape(1, -1)
        paths = Paths(
            torch.tensor([nodes]),
            many,
            torch.tensor([len(relations)]),
            torch.zeros(1, dtype=torch.int64),
            torch.zeros(1),
            torch.full_like(many, -1),
            1,
        )
        tokens = self.stage.linearizer.linearize(self.graph, paths, Key(0))
        with torch.no_grad():
            return self.model.encode(View(tokens, "causal")).hidden[token : token + 1]

    def paths(
        self, nodes: list[int], relations: list[int], said: list[float]
    ) -> Iterator[tuple[int, list[float]]]:
        """Yield the item at the end of every path, and the probabilities of its tokens."""
        schema, hop = self.graph.schema, len(relations)
        if not relations:
            yield from self.nodes(nodes, [schema.relation_index("buys")], said)
            return
        if hop == self.decode.hops:
            return
        scores = self.term.objective.relation_scores(
            self.state(nodes, relations, 2 * hop + 1), self.model, self.head
        )[0]
        leads = {0: {"item"}, 1: {"item", "user", "brand"}}
        allowed = []
        for index, relation in enumerate(schema.relations):
            fits = relation.source == self.graph.type_of(nodes[-1])
            fits = fits and relation.target in leads[min(self.decode.hops - hop - 1, 1)]
            if fits and self.decode.constrained:
                fits = len(self.graph.neighbors(nodes[-1], relation.name)) > 0
            if fits:
                allowed.append(index)
        for index, chance in chances(scores, allowed).items():
            yield from self.nodes(nodes, [*relations, index], [*said, chance])

    def nodes(
        self, nodes: list[int], relations: list[int], said: list[float]
    ) -> Iterator[tuple[int, list[float]]]:
        relation = self.graph.schema.relations[relations[-1]]
        own = self.graph.nodes(relation.target)
        scores = self.term.objective.node_scores(
            self.state([*nodes, nodes[0]], relations, 2 * len(relations)),
            self.model,
            self.head,
            relation.target,
        )[0]
        allowed = [n for n in own if n not in nodes]
        if self.decode.constrained:
            there = self.graph.neighbors(nodes[-1], relation.name).tolist()
            allowed = [n for n in allowed if n in there]
        if relation.target == "item" and len(relations) >= self.decode.least:
            ends = [n - own.start for n in allowed if n not in self.met]
            for place, chance in chances(scores, ends).items():
                yield place + own.start, [*said, chance]
        for place, chance in chances(scores, [n - own.start for n in allowed]).items():
            yield from self.paths([*nodes, place + own.start], relations, [*said, chance])


def chances(scores: torch.Tensor, allowed: list[int]) -> dict[int, float]:
    scores = scores.detach()
    total = sum(math.exp(float(scores[n])) for n in allowed)
    return {n: math.exp(float(scores[n])) / total for n in allowed}


@pytest.mark.parametrize("score", ["sum", "max", "mean"])
@pytest.mark.parametrize("constrained", [True, False])
def test_every_path_is_counted(kiosk: Graph, constrained: bool, score: str) -> None:
    joint = score == "max"
    decode = {"constrained": constrained, "score": score, "beams": ALL, "hops": 3}
    model, stage = taught(kiosk, joint, **decode)
    ann = kiosk.node_id("user", "ann")
    slow = Slow(model, stage, kiosk)
    found: dict[int, list[float]] = {}
    for item, said in slow.paths([ann], [], []):
        value = sum(said) / len(said) if score == "mean" else math.prod(said)
        found.setdefault(item, []).append(value)
    start = kiosk.nodes("item").start
    scorer = scorer_of(model, stage, kiosk, "buys", torch.tensor([ann]))
    given = scorer.scores(torch.tensor([ann]))[0]
    for item, values in found.items():
        wanted = math.log(sum(values)) if score == "sum" else max(values)
        wanted = math.log(wanted) if score == "max" else wanted
        assert float(given[item - start]) == pytest.approx(wanted, abs=1e-4)
    reached = [item - start for item in found]
    others = [n for n in range(6) if n not in reached]
    assert others
    first = slow.state([ann, ann], [kiosk.schema.relation_index("buys")], 2)
    head = model.labelled_heads()[slow.term.label]
    said = slow.term.objective.node_scores(first, model, head, "item")[0]
    assert float(given[others].max()) < float(given[reached].min())
    order = given[others].argsort().tolist()
    assert order == said[others].argsort().tolist()
    best = scorer.paths(torch.tensor([ann]), torch.tensor([sorted(found)]))
    assert best.root.tolist() == list(range(len(found)))
    if score != "sum":
        shown = given[torch.tensor(sorted(reached))]
        assert torch.allclose(best.score, shown, atol=1e-4)
    valid = valid_paths(kiosk, best)
    assert bool(valid.all()) is constrained


def test_the_first_hop_follows_what_was_met_last(kiosk: Graph) -> None:
    model, stage = taught(kiosk, decay=0.5, beams=2, hops=3, least=3, score="max")
    ann = kiosk.node_id("user", "ann")
    scorer = scorer_of(model, stage, kiosk, "buys", torch.tensor([ann]))
    begun = scorer.decoder._begin(torch.tensor([ann]))
    names = [kiosk.raw_id(int(node)) for node in begun.nodes[:, 1]]
    weights = dict(zip(names, begun.score.exp().tolist(), strict=True))
    assert weights == pytest.approx({"pad": 2 / 3, "ink": 1 / 3})
    told = scorer.paths(torch.tensor([ann]), torch.tensor([list(kiosk.nodes("item"))]))
    ends = {kiosk.raw_id(int(n)) for n in told.nodes[:, -1]}
    assert ends
    assert ends <= {"cup", "fan"}  # over ink: pad leads nowhere, and pen is not begun with
    assert {kiosk.raw_id(int(n)) for n in told.nodes[:, 1]} == {"ink"}


def test_beams_are_the_best_of_each_user(kiosk: Graph) -> None:
    model, stage = taught(kiosk, beams=2, score="max")
    users = torch.tensor(list(kiosk.nodes("user")))
    alone = [scorer_of(model, stage, kiosk, "buys", users).scores(each) for each in users[:, None]]
    together = scorer_of(model, stage, kiosk, "buys", users).scores(users)
    assert torch.allclose(torch.cat(alone), together, atol=1e-5)
    wide, stage = taught(kiosk, beams=ALL, score="max")
    assert bool((together <= scorer_of(wide, stage, kiosk, "buys", users).scores(users) + 9).all())


def test_a_run_ranks_the_whole_catalogue_and_tells_true_paths() -> None:
    shop = split(synthetic_graph(30, 20, 300, key=Key(7)))
    history = shop.history("test")
    model, stage = taught(shop.train, hops=3, beams=8)
    users = shop.test.source.unique()
    scorer = scorer_of(model, stage, history, "rates", users)
    assert isinstance(scorer, PathScorer)
    assert len(rank_targets(scorer, shop, "test")) == len(shop.test)
    scores = scorer.scores(users)
    assert bool(scores.isfinite().all())
    items = scores.topk(3, dim=1).indices + history.nodes("item").start
    told = scorer.paths(users, items)
    assert bool(valid_paths(history, told).all())
    true = faithful(history, told, users.repeat_interleave(3), items.flatten())
    assert true.nonzero().squeeze(1).tolist() == told.root.tolist()
    assert len(told) > len(users)


def test_what_cannot_be_decoded_says_so(kiosk: Graph) -> None:
    model, stage = taught(kiosk)
    users = torch.arange(1)
    predictor = Predictor(model, kiosk, stage=stage, relation="buys")
    with pytest.raises(GraphRecError, match="sources that it knows, got new ones"):
        predictor.scorer([torch.tensor([kiosk.nodes("item").start])])
    other = stage.model_copy(update={"linearizer": type(stage.linearizer)(relations=False)})
    with pytest.raises(GraphRecError, match="sentences of nodes and relations"):
        scorer_of(model, other, kiosk, "buys", users).scores(users)
    with pytest.raises(GraphRecError, match="least <= hops"):
        Stage(
            sampler={"name": "random_walk", "hops": 3},
            linearizer="path",
            objectives=[{"name": "path_autoregression", "decode": {"hops": 2, "least": 3}}],
        )

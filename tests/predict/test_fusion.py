"""Towers and one subgraph a user, on a world where the subgraph alone tells the answer."""

import polars as pl
import pytest
import torch

from graphrec_pt import Model, Split, Stage, Trainer, split
from graphrec_pt.data.build import build
from graphrec_pt.data.plan import EdgePlan, NodePlan, Plan
from graphrec_pt.evaluation.metric import evaluate
from graphrec_pt.evaluation.ranking import rank_targets
from graphrec_pt.predict.predictor import Predictor
from graphrec_pt.training.stage import LossTerm

PAIRS = 30
"""Each user k takes item a_k, then b_k that goes with it; c_k is told to be unlike it."""


@pytest.fixture(scope="module")
def world() -> Split:
    part = dict.fromkeys(range(20), "train") | dict.fromkeys(range(20, 25), "valid")
    rows = [(f"u{k}", f"{kind}{k}", t) for k in range(PAIRS) for t, kind in enumerate("ab")]
    buys = pl.DataFrame(rows, schema=["user", "item", "time"], orient="row")
    told = [part.get(int(u[1:]), "test") if i[0] == "b" else "train" for u, i, _ in rows]
    other = pl.DataFrame([(f"a{k}", f"b{k}", f"c{k}") for k in range(PAIRS)], orient="row")
    everything = pl.DataFrame({"item": [f"{kind}{k}" for kind in "abc" for k in range(PAIRS)]})
    plan = Plan(
        nodes={"user": NodePlan(), "item": NodePlan(table="items", id="item")},
        edges={
            "buys": EdgePlan(
                table="buys",
                source="user.user",
                target="item.item",
                time="time",
                columns={"split": "category"},
                inverse="bought_by",
                interaction=True,
            ),
            "goes_with": EdgePlan(
                table="other",
                source="item.column_0",
                target="item.column_1",
                inverse="went_with",
            ),
            "unlike": EdgePlan(table="other", source="item.column_0", target="item.column_2"),
        },
        time_unit="ordinal",
    )
    tables = {"buys": buys.with_columns(split=pl.Series(told)), "other": other, "items": everything}
    return split(build(plan, tables, seed=0), "fixed")


@pytest.fixture(scope="module")
def trained(world: Split) -> tuple[Model, Stage]:
    stage = Stage(
        sampler={"name": "k_hop", "fanout": [3, 3]},
        linearizer="subgraph",
        objectives=["fusion"],
        roots="buys",
        batch=16,
        epochs=25,
        optimization={"lr": 1e-2},
    )
    backbone = {
        "name": "graph_transformer",
        "width": 16,
        "layers": 1,
        "structure": {"relation": None, "hop": 4, "parent": 8},
    }
    model = Model.of(world.train, backbone=backbone, features={"by_type": {"*": ["id"]}})
    Trainer(cpu=True).fit(model, world.train, stage)
    return model, stage


def test_the_subgraph_tells_what_towers_cannot(world: Split, trained: tuple[Model, Stage]) -> None:
    """No test user was ever seen with its target, and targets were never taken by anyone."""
    model, stage = trained
    users = world.test.source.unique()
    found = {}
    for scoring in ("fusion", "towers"):
        term = LossTerm.checked({"name": "fusion", "scoring": scoring}, "term")
        asked = stage.model_copy(update={"objectives": (term,)})
        predictor = Predictor(model, world.history("test"), stage=asked, relation="buys")
        scorer = predictor.scorer(users)
        found[scoring] = evaluate(rank_targets(scorer, world), ["hr@1", "mrr"])
    assert found["fusion"]["hr@1"] == 1
    assert found["towers"]["hr@1"] == 0
    assert found["towers"]["mrr"] < 0.3


def test_scores_by_hand(world: Split, trained: tuple[Model, Stage]) -> None:
    """Outside of the subgraph the products of vectors; inside, the head's logits added to them."""
    model, stage = trained
    history, users = world.history("test"), world.test.source.unique()
    scores = Predictor(model, history, stage=stage, relation="buys").score(users)
    items = history.nodes("item")
    head = model.heads["of_fusion"]
    from graphrec_pt.core.key import Key
    from graphrec_pt.models.view import View

    with torch.no_grad():
        towers = model.nodes(users) @ model.table("item").T
        for row, user in enumerate(users):
            sample = stage.sampler.sample(history, user.unsqueeze(0), Key(0))
            tokens = stage.linearizer.linearize(history, sample, Key(0))
            hidden = model.encode(View(tokens)).hidden
            expected = towers[row].clone()
            for at in range(1, tokens.ptr[1]):
                node = int(tokens.id[at])
                if node in items:
                    expected[node - items.start] += head(hidden[:1], hidden[at : at + 1])[0]
            assert torch.allclose(scores[row], expected, atol=1e-5)
            outside = torch.ones(len(items), dtype=torch.bool)
            outside[tokens.id[tokens.type == history.schema.node_index("item")] - items.start] = (
                False
            )
            assert outside.sum() == len(items) - 3  # a, b and c of the user
            assert torch.allclose(scores[row][outside], towers[row][outside], atol=1e-5)

"""Runs across sessions, domains and data sets, and over items that training never met."""

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import yaml

from graphrec_pt import GraphRecError, Recipe, run_recipe, save_graph, write_report
from graphrec_pt.data.build import build
from graphrec_pt.data.plan import EdgePlan, NodePlan, Plan
from graphrec_pt.graph.graph import Graph

COLOURS = 5
RECIPE: dict[str, Any] = yaml.safe_load("""
name: across
data: {graph: none}
model:
  features: {by_type: {"*": [id], item: [categorical]}}
  backbone: {name: graph_transformer, width: 16, layers: 1, mode: causal}
stages:
  - name: train
    sampler: {name: history, window: 10}
    linearizer: history
    objectives: [{name: next_item, candidates: {transform: false}}]
    batch: 16
    epochs: 20
    optimization: {lr: 1.0e-2}
evaluate: {metrics: ["hr@10", mrr], baselines: [popularity]}
options: {cpu: true, watch: mrr}
""")


def recipe(*kinds: str, **changes: Any) -> Recipe:
    """Return the recipe with some changes; items have their colour and no number."""
    told = {"*": ["id"], **{kind: ["categorical"] for kind in kinds or ("item",)}}
    model = {**RECIPE["model"], "features": {"by_type": told}}
    return Recipe.checked({**RECIPE, "model": model, **changes}, "test")


def bought(
    prefix: str, kind: str, relation: str, users: int, seed: int, step: int = 1
) -> pl.DataFrame:
    """Return events of users who take six different things; the colour moves on by `step`."""
    draw = np.random.default_rng(seed)
    rows = [
        (f"{prefix}u{user}", f"{prefix}{kind}{10 * ((user + step * time) % COLOURS) + item}", time)
        for user in range(users)
        for time, item in enumerate(draw.permutation(10)[:6].tolist())
    ]
    return pl.DataFrame(rows, schema=["user", "thing", relation], orient="row")


def coloured(prefix: str, kind: str) -> pl.DataFrame:
    rows = [(f"{prefix}{kind}{n}", f"colour {n // 10}") for n in range(10 * COLOURS)]
    return pl.DataFrame(rows, schema=["id", "colour"], orient="row")


def shop(prefix: str, seed: int, step: int = 1, **kinds: str) -> Graph:
    """Return users and one or more kinds of thing, each under a relation of its own."""
    tables = {f"of_{kind}": coloured(prefix, kind) for kind in kinds}
    for number, (kind, relation) in enumerate(kinds.items()):
        tables[relation] = bought(prefix, kind, relation, 40, seed + number, step)
    nodes = {
        kind: NodePlan(table=f"of_{kind}", id="id", columns={"colour": "category"})
        for kind in kinds
    }
    edges = {
        relation: EdgePlan(
            table=relation,
            source="user.user",
            target=f"{kind}.thing",
            time=relation,
            inverse=f"{relation}_by",
            interaction=True,
        )
        for kind, relation in kinds.items()
    }
    plan = Plan(nodes={"user": NodePlan(), **nodes}, edges=edges, time_unit="ordinal")
    return build(plan, tables, seed=0)


def test_zero_shot_on_other_data(tmp_path: Path) -> None:
    """The colours and how one follows another are the same in both shops; nothing else is."""
    save_graph(shop("there ", 9, item="buys"), tmp_path / "there")
    wanted = {**RECIPE["evaluate"], "transfer": {"graph": str(tmp_path / "there")}}
    done = run_recipe(recipe(evaluate=wanted), tmp_path / "run", graph=shop("", 0, item="buys"))
    found = done.metrics["transfer"]
    assert found["known"] == {"user": [0, 40], "item": [0, 50]}
    assert found["test"]["hr@10"] > 0.95  # ten have the next colour
    assert found["untrained"]["hr@10"] < 0.6
    assert set(found["baselines"]) == {"popularity"}
    assert found["compared"]["untrained"]["low"] > 0
    assert found["fingerprint"] != done.metrics["data"]["fingerprint"]
    assert done.metrics["over_seeds"]["transfer"]["mrr"]["mean"] == found["test"]["mrr"]
    page = write_report(done).read_text(encoding="utf-8")
    assert "It knew 0 of 40 nodes of type user, 0 of 50 nodes of type item" in page


def test_other_data_must_fit(tmp_path: Path) -> None:
    save_graph(shop("", 0, book="reads"), tmp_path / "there")
    last = {**RECIPE["stages"][0], "roots": "buys"}
    wanted = {**RECIPE["evaluate"], "transfer": {"graph": str(tmp_path / "there")}}
    with pytest.raises(GraphRecError, match="roots: expected a node type or a relation"):
        run_recipe(
            recipe(evaluate=wanted, stages=[last]),
            tmp_path / "run",
            graph=shop("", 0, item="buys"),
        )
    assert not (tmp_path / "run").exists()


def test_from_one_domain_to_another(tmp_path: Path) -> None:
    """What somebody reads tells the colour of what they watch; no film is ever looked back at."""
    graph = shop("", 0, 0, book="reads", film="watches")
    stage = {
        **RECIPE["stages"][0],
        "sampler": {"name": "history", "relations": ["reads"], "window": 10},
        "objectives": [{"name": "pairwise", "pairs": {"relation": "watches", "negatives": 4}}],
        "roots": "watches",
    }
    data = {"graph": "none", "split": {"name": "leave_one_out", "relation": "watches"}}
    chosen = recipe("book", "film", stages=[stage], data=data)
    done = run_recipe(chosen, tmp_path / "run", graph=graph)
    assert done.metrics["data"]["relation"] == "watches"
    assert done.metrics["data"]["items"] == 50
    items = pl.read_parquet(tmp_path / "run" / "ranks.parquet")["item"]
    assert items.str.starts_with("film").all()
    assert done.metrics["test"]["hr@10"] > 0.95
    assert done.metrics["baselines"]["popularity"]["hr@10"] < 0.6


def test_sessions(tmp_path: Path) -> None:
    """The latest sessions are predicted, and none of their events is trained on."""
    table = bought("", "item", "at", 40, 0).with_columns(
        pl.col("at") + 100 * pl.col("user").str.slice(1).cast(pl.Int64)
    )
    edge = EdgePlan(
        table="clicks",
        source="session.user",
        target="item.thing",
        time="at",
        inverse="clicked_in",
        interaction=True,
    )
    item = NodePlan(table="items", id="id", columns={"colour": "category"})
    plan = Plan(nodes={"session": NodePlan(), "item": item}, edges={"clicks": edge})
    graph = build(plan, {"clicks": table, "items": coloured("", "item")}, seed=0)
    stage = {**RECIPE["stages"][0], "sampler": {"name": "session", "window": 10}}
    data = {"graph": "none", "split": {"name": "session", "valid": 0.25, "test": 0.25}}
    done = run_recipe(recipe(stages=[stage], data=data), tmp_path / "run", graph=graph)
    test = pl.read_parquet(tmp_path / "run" / "ranks.parquet").filter(split="test")
    assert sorted(test["user"]) == [f"u{n}" for n in range(30, 40)]
    assert done.metrics["data"]["train"] == 20 * 6
    assert done.metrics["test"]["hr@10"] == 1


def test_items_that_training_never_met(tmp_path: Path) -> None:
    data = {"graph": "none", "split": {"name": "cold_items", "valid": 0.2, "test": 0.3}}
    done = run_recipe(recipe(data=data), tmp_path / "run", graph=shop("", 0, 0, item="buys"))
    test = pl.read_parquet(tmp_path / "run" / "ranks.parquet").filter(split="test")
    assert done.metrics["slices"]["cold_items"]["targets"] == len(test)  # all are new, all ranked
    assert test["candidates"].min() > 40  # beside those that are not
    assert done.metrics["test"]["hr@10"] > 0.9
    assert done.metrics["slices"]["cold_items"]["popularity"] < 0.3
    assert "head_items" not in done.metrics["slices"]

"""Runs of other tasks than ranking: ratings and clicks, from a recipe to a folder."""

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
import yaml

from graphrec_pt import GraphRecError, Recipe, open_run, run_recipe, write_report
from graphrec_pt.cli import main
from graphrec_pt.data.build import build
from graphrec_pt.data.plan import EdgePlan, NodePlan, Plan
from graphrec_pt.graph.graph import Graph
from graphrec_pt.recipe.data import check_fits, split_of
from graphrec_pt.recipe.folder import Run, measured_again
from graphrec_pt.recipe.measure import compare_runs

RECIPE = """
name: judged
data: {graph: none, split: {name: ratio, valid: 0.2, test: 0.3, shuffle: true}}
model:
  features: {by_type: {"*": [categorical]}}
  backbone: {name: graph_transformer, width: 16, layers: 1, structure: {type: null}}
stages:
  - name: train
    sampler: {name: path_subgraph, metapaths: [[rates, rated_by, rates]], top: 2}
    linearizer: subgraph
    objectives: [OBJECTIVE]
    batch: 64
    epochs: EPOCHS
    optimization: {lr: 1.0e-2}
evaluate: EVALUATE
options: {cpu: true}
"""
RATED = "{name: regress, mean: 3.0, scale: 2.0, read: roots}"


def recipe(objective: str, evaluate: str, epochs: float = 1) -> Recipe:
    text = RECIPE.replace("OBJECTIVE", objective).replace("EVALUATE", evaluate)
    return Recipe.checked(yaml.safe_load(text.replace("EPOCHS", str(epochs))), "test")


@pytest.fixture(scope="module")
def world() -> Graph:
    """Users and items of two tastes: what suits is rated 5, what does not 1; noise decides who."""
    draw = np.random.default_rng(0)
    pairs = [(u, i) for u in range(40) for i in range(20) if draw.random() < 0.5]
    rows = [(f"u{u}", f"i{i}", 5.0 if u % 2 == i % 2 else 1.0) for u, i in pairs]
    table = pl.DataFrame(rows, schema=["user", "item", "stars"], orient="row")
    rates = EdgePlan(
        table="rows",
        source="user.user",
        target="item.item",
        weight="stars",
        inverse="rated_by",
        interaction=True,
    )
    tastes = {
        kind: pl.DataFrame([(f"{kind[0]}{n}", f"taste{n % 2}") for n in range(40)], orient="row")
        for kind in ("user", "item")
    }
    nodes = {
        kind: NodePlan(table=kind, id="column_0", columns={"column_1": "category"})
        for kind in tastes
    }
    plan = Plan(nodes=nodes, edges={"rates": rates})
    return build(plan, {"rows": table, **tastes}, seed=0)


@pytest.fixture(scope="module")
def rated(world: Graph, tmp_path_factory: pytest.TempPathFactory) -> Run:
    out = tmp_path_factory.mktemp("runs") / "rated"
    return run_recipe(recipe(RATED, "{task: rating}", 10), out, graph=world)


def test_ratings_that_biases_cannot_tell(rated: Run) -> None:
    """Half of every user's and item's ratings are 1 and half are 5, so their means say nothing."""
    told = rated.metrics
    assert told["task"] == {"name": "rating", "clip": True}
    assert set(told["test"]) == {"rmse", "mae"}
    assert told["baselines"]["global_mean"]["rmse"] == pytest.approx(2, abs=0.2)
    assert told["baselines"]["biases"]["rmse"] > 1.5
    assert told["test"]["rmse"] < 0.5
    found = told["compared"]["biases"]
    assert found["metric"] == "rmse"
    assert found["high"] < 0
    low, high = told["intervals"]["rmse"]
    assert low <= told["test"]["rmse"] <= high


def test_the_best_epoch_has_the_lowest_error(rated: Run) -> None:
    from graphrec_pt.training.tracking import read_metrics

    rows = [row["valid/rmse"] for row in read_metrics(rated.folder) if "valid/rmse" in row]
    assert rated.metrics["valid"]["rmse"] == pytest.approx(min(rows))
    assert rated.recipe.options.watch == "rmse"


def test_predictions_by_raw_ids_give_the_metrics(rated: Run) -> None:
    assert not (rated.folder / "ranks.parquet").exists()
    table = pl.read_parquet(rated.folder / "predictions.parquet")
    suits = pl.col("user").str.slice(1).cast(int) % 2 == pl.col("item").str.slice(1).cast(int) % 2
    assert table.select((pl.col("value") == pl.when(suits).then(5.0).otherwise(1.0)).all()).item()
    assert table["predicted"].is_between(1, 5).all()  # the range of the training ratings
    test = table.filter(split="test")
    rmse = ((test["value"] - test["predicted"]) ** 2).mean() ** 0.5  # type: ignore[operator]
    assert rated.metrics["test"]["rmse"] == pytest.approx(rmse)
    again = measured_again(open_run(rated.folder))
    assert again.metrics["test"] == rated.metrics["test"]


def test_slices_are_told_for_everybody(rated: Run) -> None:
    found = rated.metrics["slices"]
    test = pl.read_parquet(rated.folder / "predictions.parquet").filter(split="test")
    parts = ("tail_items", "head_items")
    assert sum(found[name]["targets"] for name in parts if name in found) == len(test)
    for part in found.values():
        assert set(part) == {"targets", "users", "metric", "model", "global_mean", "biases"}


def test_pretraining_has_its_twin(world: Graph, tmp_path: Path) -> None:
    text = RECIPE.replace("OBJECTIVE", RATED).replace("EVALUATE", "{task: rating}")
    content: dict[str, Any] = yaml.safe_load(text.replace("EPOCHS", "1"))
    last = {**content["stages"][0], "strategy": "finetune_whole"}
    first = {**last, "name": "before", "objectives": ["masked_node"], "strategy": "pretrain"}
    content["stages"] = [first, last]
    done = run_recipe(Recipe.checked(content, "test"), tmp_path / "run", graph=world)
    assert set(done.metrics["scratch"]) == {"rmse", "mae"}
    assert "scratch" in done.metrics["compared"]


@pytest.mark.parametrize(
    ("objective", "evaluate"),
    [
        ("{name: link, form: bce}", "{task: click}"),
        ("{name: regress, above: 3, read: roots}", "{task: {name: click, above: 3}}"),
    ],
)
def test_clicks(objective: str, evaluate: str, world: Graph, tmp_path: Path) -> None:
    chosen = recipe(objective, evaluate, 8)
    told = run_recipe(chosen, tmp_path / "run", graph=world).metrics
    assert set(told["test"]) == {"label_auc", "label_gauc", "log_loss"}
    assert set(told["baselines"]) == {"global_mean", "popularity_rate"}
    assert told["baselines"]["global_mean"]["label_auc"] == 0.5
    table = pl.read_parquet(tmp_path / "run" / "predictions.parquet").filter(split="test")
    assert table["predicted"].is_between(0, 1).all()
    if "above" in evaluate:  # what suits is known, so the labels are told nearly without fail
        assert told["test"]["label_auc"] > 0.95
        assert told["test"]["log_loss"] < told["baselines"]["global_mean"]["log_loss"]
    else:  # one drawn item for each
        assert table["value"].mean() == 0.5


def test_products_of_vectors_as_chances(world: Graph, tmp_path: Path) -> None:
    content = yaml.safe_load(RECIPE.replace("EPOCHS", "2").replace("EVALUATE", "{task: click}"))
    content["stages"][0] |= {
        "sampler": {"name": "k_hop", "fanout": [1]},
        "linearizer": "subgraph",
        "objectives": [{"name": "pointwise", "pairs": {"user": "vector"}}],
        "roots": "rates",
    }
    done = run_recipe(Recipe.checked(content, "test"), tmp_path / "run", graph=world)
    table = pl.read_parquet(tmp_path / "run" / "predictions.parquet").filter(split="test")
    model, row = done.model(), table.row(0, named=True)
    ids = [done.history.node_id(kind, row[kind]) for kind in ("user", "item")]
    with torch.no_grad():
        user, item = model.nodes(torch.tensor(ids))
        assert row["predicted"] == pytest.approx(float((user @ item).sigmoid()), abs=1e-5)


def test_what_does_not_fit(world: Graph) -> None:
    with pytest.raises(GraphRecError, match=r"stages\.0: expected an objective that predicts a"):
        recipe("link", "{task: rating}")
    with pytest.raises(GraphRecError, match="predicts a chance, got link; try link with form: bce"):
        recipe("link", "{task: click}")
    with pytest.raises(GraphRecError, match="metrics of rating, got ndcg@10; try rmse, mae"):
        recipe(RATED, "{task: rating, metrics: [ndcg@10]}")
    with pytest.raises(GraphRecError, match="expected a known name, got 'ratng'"):
        recipe(RATED, "{task: ratng}")
    with pytest.raises(GraphRecError, match="expected a known name, got 'popularity'"):
        recipe(RATED, "{task: rating, baselines: [popularity]}")
    plan = Plan(
        nodes={"user": NodePlan(), "item": NodePlan()},
        edges={
            "rates": EdgePlan(
                table="rows",
                source="user.user",
                target="item.item",
                inverse="rated_by",
                interaction=True,
            )
        },
    )
    rows = pl.DataFrame({"user": list("aaabbb"), "item": list("xyzxyz")})
    chosen = recipe(RATED, "{task: rating}")
    unweighted = split_of(chosen.data, build(plan, {"rows": rows}, seed=0))
    with pytest.raises(GraphRecError, match="a weighted relation, got 'rates' without weights"):
        check_fits(chosen, unweighted)
    lone = recipe("{name: regress, above: 3}", "{task: {name: click, above: 9}}")
    with pytest.raises(GraphRecError, match="positives and negatives, got one kind"):
        check_fits(lone, split_of(lone.data, world))


def test_the_page_and_the_command_line_tell_of_ratings(
    rated: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    """The lowest error is the best one, in bold and first; there are no lists to show."""
    page = write_report(rated).read_text(encoding="utf-8")
    assert "Left of the upright line the model is better" in page
    assert "Beyond accuracy" not in page
    assert "Three users" not in page
    best = page.index('class="n best"')
    assert page.index(">the model<") < best < page.index(">global_mean<")
    assert main(["evaluate", str(rated.folder)]) == 0
    assert "rmse" in capsys.readouterr().out
    assert main(["recommend", str(rated.folder), "--user", "u1"]) == 2
    errors = capsys.readouterr().err.strip().splitlines()
    assert len(errors) == 1
    assert "an objective that ranks" in errors[0]


def test_runs_of_ratings_are_compared(rated: Run, world: Graph, tmp_path: Path) -> None:
    chosen = recipe(RATED, "{task: rating, scratch: false}")
    less = run_recipe(chosen, tmp_path / "less", graph=world)
    rows = compare_runs([rated, less])
    assert rows[1].values["rmse"] == less.metrics["test"]["rmse"]
    assert rows[1].differences["rmse"].low > 0  # one epoch is not enough

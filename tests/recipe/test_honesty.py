"""The rules of honesty, each as a test that fails when the rule is broken."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch
import yaml

from graphrec_pt import Recipe, Trainer, run_recipe, write_report
from graphrec_pt.core.errors import ConfigErrors, GraphRecError
from graphrec_pt.data.build import build
from graphrec_pt.data.synthetic import synthetic_tables
from graphrec_pt.evaluation.tasks import ranking
from graphrec_pt.graph.graph import Graph
from graphrec_pt.recipe.data import graph_of
from graphrec_pt.recipe.folder import Run
from graphrec_pt.recipe.recipe import Data
from graphrec_pt.training.tracking import read_metrics

RECIPE: dict[str, Any] = yaml.safe_load("""
name: honest
data: {graph: none}
model:
  backbone: {name: graph_transformer, width: 8, layers: 1, structure: {position: 20}}
stages:
  - name: before
    sampler: {name: history, window: 20}
    linearizer: history
    objectives: [masked_item, segment_prediction]
    batch: 16
    epochs: 1
  - name: after
    sampler: {name: history, window: 20}
    linearizer: history
    objectives: [{name: pairwise, pairs: {negatives: 2, popularity: 0.75}}]
    strategy: finetune_whole
    batch: 16
    epochs: 3
    optimization: {lr: 1.0e-2}
evaluate: {metrics: ["ndcg@10", mrr], baselines: [popularity, markov, item_knn, transition_knn]}
options: {cpu: true}
""")
SUBGRAPHS: dict[str, Any] = yaml.safe_load("""
- name: before
  sampler: {name: k_hop, fanout: [4, 2], edges: true}
  linearizer: subgraph
  objectives: [masked_node, masked_edge]
  roots: user
  batch: 16
  steps: 3
- name: after
  sampler: {name: k_hop, fanout: [4, 2]}
  linearizer: subgraph
  objectives: [fusion]
  roots: rates
  strategy: finetune_whole
  batch: 16
  steps: 3
""")


def world(swap: bool = False) -> Graph:
    """Return a shop; with `swap` every user's last event leads to another item than it did."""
    plan, tables = synthetic_tables(40, 30, 500, clusters=3)
    rows = tables["interactions"].sort("user", "time")
    if swap:
        last = pl.col("time") == pl.col("time").max().over("user")
        items = tables["items"]["id"].to_list()
        taken = rows.group_by("user").agg("item")
        free = {
            user: next(item for item in reversed(items) if item not in met)
            for user, met in taken.iter_rows()
        }
        other = pl.col("user").replace_strict(free, return_dtype=pl.String)
        rows = rows.with_columns(item=pl.when(last).then(other).otherwise(pl.col("item")))
    return build(plan, {**tables, "interactions": rows}, seed=0)


def honest(**changes: Any) -> Recipe:
    return Recipe.checked({**RECIPE, **changes}, "test")


PROPAGATED = {
    **RECIPE["model"],
    "features": {"propagation": {"name": "lightgcn", "layers": 1}},
}


SOFT = {"strategy": {"name": "prompt_tune", "prompt": {"name": "personalised", "size": 2}}}
PROMPTED = [RECIPE["stages"][0], {**RECIPE["stages"][1], **SOFT}]


@pytest.mark.parametrize(
    "changes",
    [{}, {"model": PROPAGATED}, {"stages": SUBGRAPHS}, {"stages": PROMPTED}],
    ids=["sequences", "propagation", "subgraphs", "prompts"],
)
def test_nothing_that_learns_depends_on_the_test(
    changes: Mapping[str, Any], tmp_path: Path
) -> None:
    """Other test events: the same weights to the bit, the same choices on validation."""
    graphs = world(), world(swap=True)
    assert graphs[0].fingerprint != graphs[1].fingerprint
    runs = [
        run_recipe(honest(**changes), tmp_path / str(number), graph=graph)
        for number, graph in enumerate(graphs)
    ]
    weights = [run.model().state_dict() for run in runs]
    assert weights[0].keys() == weights[1].keys()
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    assert runs[0].metrics["valid"] == runs[1].metrics["valid"]
    for name in ("model", "popularity", "markov", "item_knn", "transition_knn"):
        told = [run.metrics["beyond_accuracy"][name] for run in runs]
        assert told[0] == told[1]  # the lists of test users, from what may be seen
    targets = [set(run.ranks["test"].targets.iter_rows()) for run in runs]
    assert not targets[0] & targets[1]


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, list[str]]:
    """A run, and what was trained and judged in it, in order."""
    events: list[str] = []
    fit, rank = Trainer.fit, ranking.rank_targets

    def fitting(self: Any, *given: Any, **options: Any) -> Any:
        events.append("fit")
        found = fit(self, *given, **options)
        events.append("fitted")
        return found

    def ranked(scorer: Any, made: Any, when: str = "test", **options: Any) -> Any:
        events.append(f"{when} {type(scorer).__name__}")
        return rank(scorer, made, when, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Trainer, "fit", fitting)
        patch.setattr(ranking, "rank_targets", ranked)
        out = tmp_path_factory.mktemp("runs") / "run"
        return run_recipe(honest(), out, graph=world()), events


def test_models_are_chosen_on_validation_alone(watched: tuple[Run, list[str]]) -> None:
    run, events = watched
    inside = False
    for event in events:
        inside = event == "fit" or (inside and event != "fitted")
        assert not (inside and event.startswith("test"))
    told = [row["valid/ndcg@10"] for row in read_metrics(run.folder) if "valid/ndcg@10" in row]
    assert len(told) == 3
    assert run.metrics["valid"]["ndcg@10"] == max(told)


def test_the_test_is_read_once_by_each_system(watched: tuple[Run, list[str]]) -> None:
    _, events = watched
    tests = [event for event in events if event.startswith("test")]
    assert len(tests) == 2 + 4  # the model, its twin and the baselines
    last = len(events) - 1 - events[::-1].index("fitted")
    of_twin = events[last + 1]
    assert of_twin.startswith("test")  # the model and its twin are judged after they were trained


def test_every_number_says_what_was_seen(watched: tuple[Run, list[str]]) -> None:
    run, _ = watched
    assert run.metrics["history"] == {"valid": "train", "test": "train + valid"}
    policy = pl.read_parquet_metadata(run.folder / "ranks.parquet")
    assert policy["history"] == "valid: train; test: train + valid"
    assert policy["seen"] == run.metrics["seen"] == "mask"


def test_ids_are_permuted_by_a_recorded_seed(watched: tuple[Run, list[str]]) -> None:
    run, _ = watched
    assert run.metrics["data"]["permutation_seed"] == 0
    _, tables = synthetic_tables(40, 30, 500, clusters=3)
    graph = run.history
    order = [graph.raw_id(node) for node in graph.nodes("item")]
    assert sorted(order) == sorted(tables["items"]["id"])
    assert order != sorted(order)
    with pytest.raises((ConfigErrors, GraphRecError)):
        honest(data={"graph": "none", "seed": None})  # no recipe keeps the order of the files


def test_slices_and_lists_are_told_beside_accuracy(watched: tuple[Run, list[str]]) -> None:
    run, _ = watched
    systems = {"model", "scratch", "popularity", "markov", "item_knn", "transition_knn"}
    found = run.metrics["slices"]
    assert {"tail_items", "head_items", "long_users"} <= set(found)
    total = found["tail_items"]["targets"] + found["head_items"]["targets"]
    assert total == run.metrics["data"]["test"]
    for part in found.values():
        assert set(part) == {"targets", "users", "metric", *systems}
        assert part["metric"] == "ndcg@10"
    beyond = run.metrics["beyond_accuracy"]
    assert set(beyond) == systems - {"scratch"}
    for told in beyond.values():
        assert set(told) == {"coverage@10", "gini@10", "novelty@10", "popularity@10"}
    # Everybody gets much the same list from popularity.
    assert beyond["popularity"]["coverage@10"] < beyond["markov"]["coverage@10"]
    assert beyond["popularity"]["popularity@10"] > beyond["markov"]["popularity@10"]
    page = write_report(run).read_text(encoding="utf-8")
    assert "Beyond accuracy" in page
    assert all(f"{value:.4f}" in page for row in beyond.values() for value in row.values())


def test_what_was_collected_over_all_time_is_left_out() -> None:
    """Customers who bought this also bought: perhaps what the test asks for."""
    raw = Path(__file__).parents[1] / "data" / "samples" / "amazon-beauty"
    found = {
        name: set(graph_of(Data(card="amazon-beauty", **given), raw).schema.relation_names)
        for name, given in {"said nothing": {}, "all": {"without": ()}}.items()
    }
    assert found["all"] - found["said nothing"] >= {"also_bought", "also_viewed", "same_as"}
    assert found["said nothing"] >= {"buys", "has_attribute", "has_brand", "in_category"}

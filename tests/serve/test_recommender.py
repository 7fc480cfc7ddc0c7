"""Recommendations of a run: the lists that were measured, also for new users; true paths."""

import shutil
from itertools import pairwise
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from graphrec_pt import GraphRecError, Key, Recommender, from_pretrained, open_run, run_recipe
from graphrec_pt.data.synthetic import synthetic_tables
from graphrec_pt.recipe.files import load_recipe
from graphrec_pt.recipe.folder import Run

CARD = """
name: corner
title: An invented shop
licence: {name: CC0, redistribute: true}
tables:
  sales: {file: sales.csv, types: {time: int}}
  items: {file: items.csv}
nodes:
  user: {}
  item: {table: items, id: item, columns: {title: text}, title: title}
  brand: {}
edges:
  buys: {table: sales, source: user.user, target: item.item, time: time, inverse: bought_by,
    interaction: true}
  made_by: {table: items, source: item.item, target: brand.brand, inverse: makes}
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A finished run whose raw files are gone."""
    raw = tmp_path_factory.mktemp("corner")
    _, tables = synthetic_tables(40, 30, 400, clusters=3, key=Key(2))
    tables["interactions"].select("user", "item", "time").write_csv(raw / "sales.csv")
    tables["items"].select(pl.col("id").alias("item"), "title", "brand").write_csv(
        raw / "items.csv"
    )
    (raw / "corner.yaml").write_text(CARD)
    changes = [
        f"data.card={raw / 'corner.yaml'}",
        "model.backbone.width=16",
        "stages.0.epochs=3",
        "evaluate.baselines=[popularity]",
        "options.cpu=true",
    ]
    out = tmp_path_factory.mktemp("runs") / "corner"
    run_recipe(load_recipe("sasrec", changes), out, raw=raw)
    shutil.rmtree(raw)
    return open_run(out)


@pytest.fixture(scope="module")
def recommender(run: Run) -> Recommender:
    return from_pretrained(run.folder)


def test_the_list_is_the_ranking_that_was_measured(run: Run, recommender: Recommender) -> None:
    rows = list(run.ranks["test"].table.select("user", "item", "rank", "candidates").iter_rows())
    found = recommender.recommend([user for user, *_ in rows], k=30)
    for (user, item, rank, candidates), given in zip(rows, found, strict=True):
        assert given.user == user
        assert [each.id for each in given.items].index(item) == rank - 1  # no ties here
        assert len(given.items) == candidates
        assert not set(given.history) & {each.id for each in given.items}
        scores = [each.score for each in given.items]
        assert scores == sorted(scores, reverse=True)


def test_a_new_user_with_the_same_history_gets_the_same(recommender: Recommender) -> None:
    known = recommender.recommend(["u1", "u7"], k=5)
    mixed = recommender.recommend(["u1", known[1].history, known[0].history], k=5)
    assert [each.user for each in mixed] == ["u1", None, None]
    for new, old in ((mixed[0], known[0]), (mixed[1], known[1]), (mixed[2], known[0])):
        assert [item.id for item in new.items] == [item.id for item in old.items]
        scores = [item.score for item in old.items]
        assert [item.score for item in new.items] == pytest.approx(scores, abs=1e-5)


def test_who_is_unknown_gets_what_is_popular_and_is_told(recommender: Recommender) -> None:
    graph = recommender.history
    counts = {item: len(graph.neighbors(item, "bought_by")) for item in recommender.items}
    best = sorted(counts, key=lambda item: (-counts[item], item))[:4]
    given = recommender.recommend([[], "u1", "nobody"], k=4, unknown="popularity")
    assert [each.by for each in given] == ["popularity", "model", "popularity"]
    assert [each.user for each in given] == [None, "u1", "nobody"]
    for each in (given[0], given[2]):
        assert [item.id for item in each.items] == [graph.raw_id(item) for item in best]
        assert [item.score for item in each.items] == [counts[item] for item in best]
        assert each.history == ()
    assert recommender.recommend([], k=4) == []


def test_paths_exist_and_lead_from_the_history_to_the_item(recommender: Recommender) -> None:
    graph, given = recommender.history, recommender.recommend(["u3"], k=5, explain=True)[0]
    told = [path for item in given.items for path in item.paths]
    assert told
    for item in given.items:
        for path in item.paths:
            assert graph.raw_id(path.nodes[0]) == "u3"
            assert graph.raw_id(path.nodes[1]) in given.history
            assert graph.raw_id(path.nodes[-1]) == item.id
            hops = zip(path.relations, pairwise(path.nodes), strict=True)
            for relation, (source, target) in hops:
                assert target in graph.neighbors(source, relation).tolist()
            assert path.nodes.count(path.nodes[0]) == 1  # "because you bought it" explains nothing
            assert item.title in path.in_words(graph)


def test_the_best_path_is_the_best(recommender: Recommender) -> None:
    """Every path between the history and one item, one by one."""
    graph, user = recommender.history, recommender.history.node_id("user", "u3")
    given = recommender.recommend(["u3"], k=1, explain=1)[0].items[0]
    item, best = graph.node_id("item", given.id), 0.0

    def score(relation: str, source: int, target: int) -> float:
        degree = sum(len(graph.neighbors(node)) for node in (source,))
        other = len(graph.neighbors(target))
        return float((degree * other) ** -0.5)

    for known in graph.neighbors(user, "buys").tolist():
        for there, back in (("bought_by", "buys"), ("made_by", "makes")):
            for middle in graph.neighbors(known, there).tolist():
                if middle != user and item in graph.neighbors(middle, back).tolist():
                    value = (score(there, known, middle) + score(back, middle, item)) / 2
                    best = max(best, value)
    assert given.paths[0].score == pytest.approx(best, rel=1e-5)


def test_new_users_are_told_why_too(recommender: Recommender) -> None:
    history = recommender.recommend(["u3"], k=1)[0].history
    given = recommender.recommend([history], k=3, explain=2)[0]
    paths = [path for item in given.items for path in item.paths]
    assert paths
    assert all(recommender.history.raw_id(path.nodes[0]) in history for path in paths)
    assert all(len(item.paths) <= 2 for item in given.items)


@pytest.mark.parametrize(
    ("users", "k", "message"),
    [
        (["nobody"], 3, "a known user id, got 'nobody'"),
        ([["i1", "nothing"]], 3, "a known item id, got 'nothing'"),
        (["u1"], 31, "1 <= k <= 30, the catalogue, got 31"),
        (["u1"], 0, "1 <= k <= 30"),
        ("u1", 3, "a list of users"),
    ],
)
def test_mistakes_are_told(recommender: Recommender, users: Any, k: int, message: str) -> None:
    with pytest.raises(GraphRecError) as error:
        recommender.recommend(users, k=k)
    assert message in str(error.value)


def test_a_model_of_its_users_cannot_take_new_ones(run: Run, tmp_path: Path) -> None:
    stage = {**run.recipe.resolved()["stages"][0], "linearizer": {"name": "history", "root": True}}
    recipe = type(run.recipe).checked({**run.recipe.resolved(), "stages": [stage]}, "x")
    other = from_pretrained(Run(run.folder, recipe, run.metrics))
    with pytest.raises(GraphRecError, match="sources that it knows"):
        other.recommend([["i1"]], k=1)

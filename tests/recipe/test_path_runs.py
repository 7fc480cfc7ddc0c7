"""Runs of path language models: what they recommend by, and whether it is true."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from graphrec_pt.recipe.data import graph_of, split_of
from graphrec_pt.recipe.folder import Run
from graphrec_pt.recipe.run import run_recipe
from graphrec_pt.serve.recommender import from_pretrained
from graphrec_pt.serve.report.write import write_report


@pytest.fixture(scope="module")
def true_paths(raw: Path, small: Any, tmp_path_factory: pytest.TempPathFactory) -> Run:
    steps = ("stages.0.steps=2", "stages.1.steps=4", "stages.0.batch=16", "stages.1.batch=16")
    recipe = small("pearlm", *steps, "evaluate.scratch=false")
    return run_recipe(recipe, tmp_path_factory.mktemp("runs") / "run", raw=raw)


def test_every_path_of_the_graph_is_true(true_paths: Run) -> None:
    told = true_paths.metrics["explanations"]
    assert told["users"] == 60
    assert told["valid"] == 1
    assert 0.5 < told["reached"] <= 1
    assert 0 < told["diversity"] <= told["linking_diversity"] <= 1


def test_recommended_items_come_with_the_path_that_was_decoded(true_paths: Run) -> None:
    recommender, history = from_pretrained(true_paths), true_paths.history
    (given,) = recommender.recommend(["7"], k=5, explain=True)
    assert any(item.paths for item in given.items)
    assert [item.score for item in given.items] == sorted(
        (item.score for item in given.items), reverse=True
    )
    for item in given.items:
        for path in item.paths:
            assert path.relations[0] == "watches"
            assert path.relations[1] in ("followed_by", "rev_followed_by")
            assert history.raw_id(path.nodes[0]) == "7"
            assert history.raw_id(path.nodes[-1]) == item.id
            assert path.score <= item.score + 1e-5  # one of the paths that make the score
            hops = zip(path.nodes, path.relations, path.nodes[1:], strict=False)
            for source, relation, target in hops:
                assert target in history.neighbors(source, relation).tolist()
    without = recommender.recommend(["7"], k=5)[0]
    assert not any(item.paths for item in without.items)


def test_the_report_tells_what_the_paths_are_worth(true_paths: Run) -> None:
    page = write_report(true_paths).read_text(encoding="utf-8")
    assert "Decoded paths" in page
    words = " ".join(page.split())
    assert "100.0% of these paths exist edge by edge" in words
    assert "Paths that the model decoded for its recommendations." in words
    assert "not the model's reasons" not in words
    assert "rev_" not in words[words.index("Three users</h2>") : words.index("Recipe</h2>")]


def test_transitions_are_those_of_what_a_view_may_show(raw: Path, small: Any) -> None:
    recipe = small("pearlm", "data.derive=[{name: transition, window: 1}]")
    made = split_of(recipe.data, graph_of(recipe.data, raw))
    for view in (made.train, made.history("test")):
        pairs = set()
        for user in view.nodes("user"):
            met = view.neighbors(user, "watches").tolist()
            pairs |= set(pairwise(met))
        edges = view.edges("followed_by")
        found = set(zip(edges.source.tolist(), edges.target.tolist(), strict=True))
        assert found == pairs
    assert made.train.num_edges("followed_by") < made.history("test").num_edges("followed_by")


def test_free_paths_may_be_invented(raw: Path, small: Any, tmp_path: Path) -> None:
    recipe = small("plm_rec", "stages.0.steps=2", "stages.0.batch=16", "evaluate.baselines=[]")
    free = run_recipe(recipe, tmp_path / "run", raw=raw)
    told = free.metrics["explanations"]
    assert told["reached"] == 1  # free paths lead to every item
    assert told["valid"] < 1


def test_other_models_have_no_paths(raw: Path, small: Any, tmp_path: Path) -> None:
    recipe = small("lightgcn", "stages.0.steps=1", "stages.0.batch=16")
    done = run_recipe(recipe, tmp_path / "run", raw=raw)
    assert done.metrics["explanations"] is None
    assert "Decoded paths" not in write_report(done).read_text(encoding="utf-8")

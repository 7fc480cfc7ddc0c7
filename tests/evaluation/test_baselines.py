"""Baselines beside loops that spell out their formulas, and what they may not see."""

from collections import defaultdict
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.data.build import build
from graphrec_pt.data.synthetic import checkerboard, synthetic_tables
from graphrec_pt.evaluation.baseline import baseline
from graphrec_pt.evaluation.baselines import transition_matrix
from graphrec_pt.evaluation.metric import evaluate
from graphrec_pt.evaluation.ranking import rank_targets
from graphrec_pt.graph.graph import Graph
from graphrec_pt.graph.split import Split, split
from graphrec_pt.predict.lists import top_lists
from graphrec_pt.testing import check_baseline, example_split

NAMES = ("ease", "item_knn", "markov", "popularity", "transition_knn")
OF_DIALOGUES = ("linked_items", "mention_knn", "repeat")
"""Read what turns of dialogues name; ``test_conversation.py`` has a world for them."""


def test_these_are_the_baselines() -> None:
    assert set(baseline.names()) == {*NAMES, *OF_DIALOGUES}


def histories(graph: Graph, relation: str = "rates") -> dict[int, list[int]]:
    """Return the items of each user in time order, both counted from 0."""
    users, items = graph.nodes("user"), graph.nodes("item")
    return {
        user - users.start: (graph.neighbors(user, relation) - items.start).tolist()
        for user in users
    }


def scores(name: Any, fitted_on: Graph, history: Graph) -> np.ndarray[Any, Any]:
    users = history.nodes("user")
    nodes = torch.arange(users.start, users.stop)
    return baseline.build(name).fit(fitted_on).on(history).scores(nodes).numpy()


def test_popularity_counts(shop: Split) -> None:
    train = histories(shop.train)
    counts = np.zeros(80)
    for row in train.values():
        np.add.at(counts, row, 1)
    np.testing.assert_array_equal(
        scores("popularity", shop.train, shop.train), np.tile(counts, (120, 1))
    )


def test_markov_counts_successors_then_popularity(shop: Split) -> None:
    after: dict[tuple[int, int], int] = defaultdict(int)
    popular = np.zeros(80)
    for row in histories(shop.train).values():
        np.add.at(popular, row, 1)
        for first, then in pairwise(row):
            after[first, then] += 1
    wanted = np.zeros((120, 80))
    for user, row in histories(shop.history("test")).items():
        wanted[user] = [after[row[-1], item] for item in range(80)]
        wanted[user] += popular / (popular.sum() + 1)
    np.testing.assert_allclose(scores("markov", shop.train, shop.history("test")), wanted, 1e-5)


def slow_transitions(graph: Graph) -> np.ndarray[Any, Any]:
    counts, popular = np.zeros((80, 80)), np.zeros(80)
    for row in histories(graph).values():
        for i, first in enumerate(row):
            popular[first] += 1
            for distance, then in enumerate(row[i + 1 : i + 6], start=1):
                counts[first, then] += 1 / distance
                counts[then, first] += 0.5 / distance
    popular = np.maximum(popular, 1)
    return counts / popular[:, None] ** 0.5 / popular[None, :] ** 0.3


def test_transitions_decay_with_distance(shop: Split) -> None:
    made = transition_matrix(shop.train, "rates")
    assert made.dtype == np.float32
    np.testing.assert_allclose(made.toarray(), slow_transitions(shop.train), 1e-5)


def test_transition_knn_asks_the_last_ten(shop: Split) -> None:
    weights = slow_transitions(shop.train)
    wanted = np.zeros((120, 80))
    for user, row in histories(shop.history("test")).items():
        for age, item in enumerate(reversed(row[-10:])):
            wanted[user] += 0.7**age * weights[item]
    found = scores("transition_knn", shop.train, shop.history("test"))
    np.testing.assert_allclose(found, wanted, 1e-4, 1e-6)


@pytest.mark.parametrize(("k", "shrink"), [(None, 0.0), (5, 0.0), (7, 10.0)])
def test_item_knn_is_the_cosine_of_columns(shop: Split, k: int | None, shrink: float) -> None:
    met = np.zeros((120, 80))
    for user, row in histories(shop.train).items():
        met[user, row] = 1
    norm = np.maximum(np.linalg.norm(met, axis=0), 1)
    cosine = met.T @ met / (norm[:, None] * norm[None, :] + shrink)
    np.fill_diagonal(cosine, 0)
    if k is not None:
        for column in cosine.T:
            column[np.argsort(-column, kind="stable")[k:]] = 0
    config = {"name": "item_knn", "k": k, "shrink": shrink}
    np.testing.assert_allclose(scores(config, shop.train, shop.train), met @ cosine, 1e-4, 1e-5)


def test_ease_solves_its_problem(shop: Split) -> None:
    met = np.zeros((120, 80))
    for user, row in histories(shop.train).items():
        met[user, row] = 1
    # Each column is a ridge regression on all other items.
    wanted = np.zeros((80, 80))
    for item in range(80):
        others = np.delete(np.arange(80), item)
        gram = met[:, others].T @ met[:, others] + 5 * np.eye(79)
        wanted[others, item] = np.linalg.solve(gram, met[:, others].T @ met[:, item])
    found = scores({"name": "ease", "l2": 5}, shop.train, shop.train)
    np.testing.assert_allclose(found, met @ wanted, atol=1e-4)


@pytest.mark.parametrize("name", ["ease", "item_knn", "transition_knn", "markov"])
def test_the_checkerboard_is_solved(name: str) -> None:
    board = checkerboard(12)
    users, items = board.nodes("user"), board.nodes("item")
    nodes = torch.arange(users.start, users.stop)
    config = {"name": "ease", "l2": 0.1} if name == "ease" else name
    scorer = baseline.build(config).fit(board).on(board)
    best = top_lists(scorer, board, "likes", nodes, 1).items[:, 0]
    assert [board.raw_id(i) for i in best.tolist()] == [board.raw_id(u) for u in nodes.tolist()]
    assert len(items) == 12


@pytest.mark.parametrize("name", NAMES)
def test_every_baseline_keeps_its_promises(name: str) -> None:
    check_baseline(name, example_split())


@pytest.mark.parametrize("name", NAMES)
def test_ids_do_not_matter(name: str) -> None:
    plan, tables = synthetic_tables(120, 80, 2400)
    found = []
    for seed in (0, 1):
        cut = split(build(plan, tables, seed=seed), "leave_one_out")
        scorer = baseline.build(name).fit(cut.train).on(cut.history("test"))
        ranks = rank_targets(scorer, cut)
        found.append(evaluate(ranks, ("ndcg@10", "mrr", "auc")))
    assert found[0] == pytest.approx(found[1], rel=1e-3)  # sums of floats in another order


@pytest.mark.parametrize("name", NAMES)
def test_held_out_edges_do_not_matter(name: str, world: Any) -> None:
    def cut(held: str) -> Split:
        rows = [(f"u{u}", f"i{(u * 3 + t) % 9}", t, "train") for u in range(8) for t in range(4)]
        rows += [(f"u{u}", f"i{(u + int(held)) % 9}", 9, "test") for u in range(8)]
        return split(world(rows, items=" ".join(f"i{n}" for n in range(9))), "fixed")

    here, there = cut("1"), cut("4")
    assert not torch.equal(here.test.target, there.test.target)
    found = [scores(name, each.train, each.history("test")) for each in (here, there)]
    np.testing.assert_array_equal(*found)
    leaky = scores(name, here.graph, here.history("test"))
    assert not np.array_equal(leaky, found[0])  # the probe would notice


def test_a_structured_world_beats_popularity() -> None:
    plan, tables = synthetic_tables(400, 200, 8000)
    cut = split(build(plan, tables), "leave_one_out")
    found = {
        name: evaluate(
            rank_targets(baseline.build(name).fit(cut.train).on(cut.history("test")), cut),
            ("ndcg@10",),
        )["ndcg@10"]
        for name in NAMES
    }
    assert all(found[name] > 1.5 * found["popularity"] for name in ("transition_knn", "markov"))


def test_an_untimed_relation_has_no_transitions() -> None:
    plan, tables = synthetic_tables(30, 20, 300)
    untimed = plan.model_copy(
        update={"edges": {n: e.model_copy(update={"time": None}) for n, e in plan.edges.items()}}
    )
    graph = build(untimed, tables)
    for name in ("markov", "transition_knn"):
        with pytest.raises(GraphRecError, match="a timed relation, got 'rates'"):
            baseline.build(name).fit(graph)
    assert scores("ease", graph, graph).shape == (30, 20)


def test_a_history_of_other_nodes_is_refused(shop: Split, corner: Split) -> None:
    fitted = baseline.build("item_knn").fit(shop.train)
    with pytest.raises(GraphRecError, match="'rates'"):
        fitted.on(corner.train)
    small = split(checkerboard(6), "leave_one_out").train
    with pytest.raises(GraphRecError, match="a history with 12 nodes of type 'item', got 6"):
        baseline.build("item_knn").fit(checkerboard(12)).on(small)


def test_options_are_checked() -> None:
    with pytest.raises(GraphRecError, match="did you mean 'ease'"):
        baseline.build("eese")
    with pytest.raises(GraphRecError, match="l2"):
        baseline.build({"name": "ease", "l2": 0})
    with pytest.raises(GraphRecError, match="did you mean 'decay'"):
        baseline.build({"name": "transition_knn", "decai": 0.5})

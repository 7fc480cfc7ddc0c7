"""Impressions: metrics by hand, the lists that are asked about, and what systems may see."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from sklearn.metrics import roc_auc_score

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.evaluation.impressions import Impressions, read_impressions
from graphrec_pt.evaluation.metric import evaluate, per_user
from graphrec_pt.evaluation.outcome import write_outcomes
from graphrec_pt.evaluation.task import RankingConfig
from graphrec_pt.evaluation.tasks.impressions import ImpressionsTask
from graphrec_pt.features.node_features import Features
from graphrec_pt.graph.split import Split, split
from graphrec_pt.models.model import Model
from graphrec_pt.training.stage import Stage
from graphrec_pt.training.trainer import Trainer
from tests.lists_world import LISTS, USERS, lists_graph

POLICY = RankingConfig()
TASK = ImpressionsTask(above=4.0)


def outcome(lists: list[tuple[str, str, list[float], list[float]]]) -> Impressions:
    rows = [
        ("test", user, name, f"i{at}", label, score)
        for user, name, labels, scores in lists
        for at, (label, score) in enumerate(zip(labels, scores, strict=True))
    ]
    columns = ["split", "user", "impression", "item", "value", "predicted"]
    return Impressions(pl.DataFrame(rows, schema=columns, orient="row"), {"history": "train"})


@pytest.fixture(scope="module")
def cut() -> Split:
    return split(lists_graph(), "last_lists")


def test_metrics_by_hand() -> None:
    one = outcome([("ann", "a", [1.0, 0.0, 1.0, 0.0], [0.9, 0.8, 0.7, 0.1])])
    measured = evaluate(one, ["impression_auc", "impression_mrr", "impression_ndcg@2"])
    assert measured["impression_auc"] == pytest.approx(3 / 4)
    assert measured["impression_mrr"] == pytest.approx((1 + 1 / 3) / 2)
    assert measured["impression_ndcg@2"] == pytest.approx(1 / (1 + 1 / np.log2(3)))


def test_equal_scores_count_by_expectation() -> None:
    tied = outcome([("ann", "a", [1.0, 0.0], [0.5, 0.5])])
    measured = evaluate(tied, ["impression_auc", "impression_mrr", "impression_ndcg@5"])
    assert measured["impression_auc"] == 0.5
    assert measured["impression_mrr"] == pytest.approx((1 + 1 / 2) / 2)
    assert measured["impression_ndcg@5"] == pytest.approx((1 + 1 / np.log2(3)) / 2)


def test_auc_against_scikit_learn_and_lists_count_once() -> None:
    draw = np.random.default_rng(0)
    lists = []
    for number in range(9):
        size = 3 + number
        labels = [1.0, 0.0, *draw.integers(0, 2, size).astype(float).tolist()]
        scores = draw.integers(0, 4, size + 2).astype(float).tolist()
        lists.append((f"u{number % 2}", f"l{number}", labels, scores))
    made = outcome(lists)
    wanted = [roc_auc_score(labels, scores) for _, _, labels, scores in lists]
    assert evaluate(made, ["impression_auc"])["impression_auc"] == pytest.approx(np.mean(wanted))
    users = [np.mean(wanted[first::2]) for first in (0, 1)]
    assert per_user(made, "impression_auc") == pytest.approx(users)


def test_lists_of_one_label_are_left_out_of_the_mean() -> None:
    lists = [("ann", "a", [1.0, 0.0], [0.9, 0.1]), ("bob", "b", [1.0, 1.0], [0.9, 0.1])]
    assert evaluate(outcome(lists), ["impression_auc"])["impression_auc"] == 1.0
    with pytest.raises(GraphRecError, match="clicked and other items"):
        evaluate(outcome(lists[1:]), ["impression_auc"])


def test_outcomes_are_saved_and_checked(tmp_path: Path) -> None:
    made = outcome([("ann", "a", [1.0, 0.0], [0.9, 0.1])])
    write_outcomes(tmp_path / "x.parquet", [made])
    assert read_impressions(tmp_path / "x.parquet")["test"].table.equals(made.table)
    with pytest.raises(GraphRecError, match="labels 0 and 1"):
        outcome([("ann", "a", [2.0], [0.9])])
    with pytest.raises(GraphRecError, match="finite"):
        outcome([("ann", "a", [1.0], [float("nan")])])


def test_the_last_lists_are_asked_about(cut: Split) -> None:
    TASK.check_split(cut, TASK.metrics)
    for when, number in (("valid", LISTS - 2), ("test", LISTS - 1)):
        lists = TASK.lists(cut, when)  # type: ignore[arg-type]
        names = {str(cut.graph.raw_id(node)) for node in lists.node.tolist()}
        assert names <= {f"{user}/{number}" for user in range(USERS - 1)}
        assert len(names) + lists.skipped == USERS - 1
        assert lists.user.tolist() == [
            int(cut.graph.node_ids("user", [f"u{cut.graph.raw_id(node).split('/')[0]}"]))
            for node in lists.node.tolist()
        ]
        clicked = torch.zeros(len(lists.node)).index_add(
            0, torch.arange(len(lists.node)).repeat_interleave(lists.count), lists.label.float()
        )
        assert bool(((clicked > 0) & (clicked < lists.count)).all())


def test_what_a_system_may_see(cut: Split) -> None:
    """The asked lists are in the graph with what they showed, and without what became of it."""
    asked, history = TASK._asked(cut, "test"), cut.history("test")
    lists = TASK.lists(cut, "test")
    assert not bool(torch.isin(cut.test.edge, asked.edges("rates").edge).any())
    assert torch.equal(asked.edges("rates").edge, history.edges("rates").edge)
    shows = asked.edges("shows")
    assert bool(torch.isin(lists.node, shows.source).all())
    assert not bool(torch.isin(lists.node, history.edges("shows").source).any())
    assert shows.weight is None
    table = asked.edge_tables["rates"]
    hidden = cut.test.edge - asked.edge_offset["rates"]
    assert table["event"].gather(hidden.numpy()).null_count() == len(cut.test)


def test_training_sees_nothing_of_held_out_lists(cut: Split) -> None:
    for when in ("valid", "test"):
        node = TASK.lists(cut, when).node  # type: ignore[arg-type]
        for name in ("sees", "shows"):
            edges = cut.train.edges(name)
            assert not bool(torch.isin(node, torch.cat([edges.source, edges.target])).any())


def test_baselines_by_hand(cut: Split) -> None:
    assert TASK.baselines(cut) == ("click_count", "last_click", "popularity_rate")
    train = cut.train
    edges = train.edges("rates")
    film = int(train.nodes("item").start)
    weights = edges.weight[edges.target == film]  # type: ignore[index]
    liked, shown = int((weights >= 4).sum()), len(weights)
    every = int((edges.weight >= 4).sum())  # type: ignore[operator]
    rate = TASK.fitted({"name": "popularity_rate", "strength": 10.0}, cut, "test").values
    found = float(rate.values(torch.tensor([0]), torch.tensor([film])))
    assert found == pytest.approx((liked + 10 * every / len(edges.source)) / (shown + 10))
    count = TASK.fitted({"name": "click_count"}, cut, "test").values
    clicks = torch.bincount(edges.target[edges.weight >= 4])  # type: ignore[operator]
    wanted = float(clicks[film] / clicks.max())
    assert float(count.values(torch.tensor([0]), torch.tensor([film]))) == pytest.approx(wanted)


def test_a_split_that_cuts_lists_is_refused() -> None:
    with pytest.raises(GraphRecError, match="known in part"):
        TASK.check_split(split(lists_graph(), "leave_one_out"), TASK.metrics)


def stage(**options: object) -> Stage:
    return Stage(
        sampler={"name": "impression", "liked": 4.0},
        linearizer="subgraph",
        objectives=[{"name": "choice", "above": 4.0, "clicked": 4, "negatives": 2, **options}],
        roots="impression",
        batch=8,
        steps=60,
        optimization={"lr": 1e-2},
    )


@pytest.mark.parametrize("encoded", [False, True])
def test_a_model_learns_what_each_user_likes(cut: Split, encoded: bool) -> None:
    """Titles say the kind of a film, and the history says which kind a user likes."""
    graph = cut.train
    sizes = {"name": "graph_transformer", "width": 16, "layers": 1, "heads": 2, "dropout": 0.0}
    titles = {"name": "static_text", "columns": ["title"]}
    features = Features(by_type={"item": [titles], "*": ["id"]})
    model = Model.of(graph, backbone=sizes, features=features, seed=0)
    last = stage(encoded=encoded)
    Trainer(cpu=True).fit(model, graph, [last])
    system = TASK.trained(model, last, cut, "test")
    measured = evaluate(TASK.judge(system, cut, "test", POLICY), ["impression_auc"])
    assert measured["impression_auc"] > 0.9


def test_scores_do_not_depend_on_the_batch(cut: Split, monkeypatch: pytest.MonkeyPatch) -> None:
    model, last = Model.of(cut.train, seed=0), stage().model_copy(update={"steps": 1})
    Trainer(cpu=True).fit(model, cut.train, [last])
    system = TASK.trained(model, last, cut, "test")
    lists = TASK.lists(cut, "test")
    together = system.of(lists)
    monkeypatch.setattr("graphrec_pt.evaluation.tasks.impressions.ITEMS", 1)
    assert torch.allclose(system.of(lists), together, atol=1e-6)
    assert len(together) == len(lists.item)

"""The task of impressions: the lists that are asked about, and what systems may see."""

import pytest
import torch

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.evaluation.metric import evaluate
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


@pytest.fixture(scope="module")
def cut() -> Split:
    return split(lists_graph(), "last_lists")


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
            0, torch.arange(len(lists.node)).repeat_interleave(lists.length), lists.label.float()
        )
        assert bool(((clicked > 0) & (clicked < lists.length)).all())


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
        steps=150,
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

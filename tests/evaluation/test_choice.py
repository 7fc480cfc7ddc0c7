"""Choices of a liked item among disliked ones: draws, ranks, and what baselines may know."""

import polars as pl
import pytest
import torch

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.core.key import Key
from graphrec_pt.data.synthetic import synthetic_graph
from graphrec_pt.evaluation.metric import evaluate
from graphrec_pt.evaluation.task import RankingConfig
from graphrec_pt.evaluation.tasks.choice import Choice, Questions, UninformedScorer
from graphrec_pt.graph.split import Split, split

FEW = {"liked": 4.0, "disliked": 2.0, "likes": 3, "dislikes": 2, "shown": 2, "others": 2}


@pytest.fixture(scope="module")
def parts() -> Split:
    return split(synthetic_graph(120, 40, 3000, key=Key(1)), "leave_one_out", seed=0)


def test_questions_are_what_they_say(parts: Split) -> None:
    task, graph = Choice(**FEW), parts.graph
    start = graph.nodes("item").start
    edges = graph.edges(parts.relation)
    assert edges.weight is not None
    table = pl.DataFrame(
        {
            "user": edges.source.numpy(),
            "item": edges.target.numpy(),
            "weight": edges.weight.numpy(),
        }
    )
    questions = {when: task.questions(parts, when) for when in ("valid", "test")}  # type: ignore
    for each in questions.values():
        for user, shown, candidates in zip(*each, strict=True):
            rows = table.filter(user=int(user))
            last = dict(zip(rows["item"], rows["weight"], strict=True))
            first, *others = (candidates + start).tolist()
            assert all(last[item] >= 4 for item in [first, *shown.tolist()])
            assert all(last[item] <= 2 for item in others)
            assert len({first, *shown.tolist()}) == 3
            assert len(set(others)) == 2
            assert sum(weight >= 4 for weight in last.values()) >= 3
    valid, test = (set(each.user.tolist()) for each in questions.values())
    assert valid
    assert not valid & test
    assert len(valid) == round(0.1 * (len(valid) + len(test)))


def test_draws_are_a_function_of_the_seed(parts: Split) -> None:
    one, two, other = (Choice(**FEW, seed=seed).questions(parts, "test") for seed in (0, 0, 1))
    assert all(torch.equal(a, b) for a, b in zip(one, two, strict=True))
    assert not torch.equal(one.candidates, other.candidates)
    assert len(Choice(**FEW, users=5).questions(parts, "test").user) == 5


class Fixed:
    """Scores by hand: the liked item second, level with one of the others."""

    def of(self, questions: Questions) -> torch.Tensor:
        scores = torch.tensor([[2.0, 2.0, 3.0]]).repeat(len(questions.user), 1)
        scores[0] = torch.tensor([9.0, 1.0, 1.0])
        return scores


def test_ranks_by_hand(parts: Split) -> None:
    task = Choice(**FEW)
    ranks = task.judge(Fixed(), parts, "test", RankingConfig())  # type: ignore[arg-type]
    n = len(ranks)
    assert ranks.table["rank"].to_list() == [1.0] + [2.5] * (n - 1)
    assert set(ranks.table["candidates"]) == {3}
    assert evaluate(ranks, ["hr@1"])["hr@1"] == pytest.approx(1 / n)


def test_baselines_know_no_event_of_who_is_asked(parts: Split) -> None:
    task = Choice(**FEW)
    users = task.questions(parts, "test").user
    system = task.fitted({"name": "popularity"}, parts, "test")
    assert isinstance(system, UninformedScorer)
    edges = parts.train.edges(parts.relation)
    others = edges.target[~torch.isin(edges.source, users)] - parts.graph.nodes("item").start
    expected = torch.bincount(others, minlength=40).double()
    assert torch.equal(system.scorer.scores(users[:1])[0].double(), expected)
    assert task.baselines(parts) == ("popularity",)


def test_what_the_data_lacks_is_said(parts: Split) -> None:
    with pytest.raises(GraphRecError, match=r"two users with 3000 likes .*got 0"):
        Choice(**{**FEW, "likes": 3000}).check_split(parts, ["hr@1"])
    with pytest.raises(GraphRecError, match="cut-offs within 3 candidates, got hr@5"):
        Choice(**FEW).check_split(parts, ["hr@1", "hr@5"])
    with pytest.raises(GraphRecError, match="a name of each item, got 'nothing'"):
        Choice(**FEW, column="nothing").check_split(parts, ["hr@1"])

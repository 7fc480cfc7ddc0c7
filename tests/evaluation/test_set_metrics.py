"""Predicted sets: metrics by hand and beside scikit-learn, and what the task asks."""

import numpy as np
import polars as pl
import pytest
import torch

from graphrec_pt import GraphRecError, Split
from graphrec_pt.evaluation.metric import evaluate, per_user, statistic
from graphrec_pt.evaluation.predicted import Predicted
from graphrec_pt.evaluation.set_metrics import THRESHOLD, average_precision
from graphrec_pt.evaluation.task import RankingConfig, task
from graphrec_pt.evaluation.tasks.sets import known_sets

NAMES = ("jaccard", "set_f1", "pr_auc")


def visits(threshold: float = 0.3) -> Predicted:
    """Visit a takes p and q of four drugs, b takes r; c takes nothing and is offered nothing."""
    rows = {
        "a": {"p": (1, 0.9), "q": (1, 0.2), "r": (0, 0.4), "s": (0, 0.1)},
        "b": {"p": (0, 0.3), "q": (0, 0.1), "r": (1, 0.3), "s": (0, 0.2)},
        "c": {"p": (0, 0.1), "q": (0, 0.1), "r": (0, 0.2), "s": (0, 0.2)},
    }
    told = [(v, d, float(y), s) for v, drugs in rows.items() for d, (y, s) in drugs.items()]
    user, item, value, predicted = zip(*told, strict=True)
    columns = {"user": user, "item": item, "value": value, "predicted": predicted}
    table = pl.DataFrame({"split": ["test"] * len(told), **columns})
    return Predicted(table, {"history": "train", THRESHOLD: str(threshold)})


def test_by_hand() -> None:
    """Of a {p} is right, {r} wrong, {q} missed; of b {r} is right, {p} wrong."""
    found = visits()
    assert per_user(found, "jaccard").tolist() == pytest.approx([1 / 3, 1 / 2, 1])
    assert per_user(found, "set_f1").tolist() == pytest.approx([2 / 4, 2 / 3, 1])
    # a: p first (precision 1), q third (2 of 3); b: r and p come in together (1 of 2).
    a, b, c = per_user(found, "pr_auc").tolist()
    assert (a, b) == pytest.approx(((1 + 2 / 3) / 2, 1 / 2))
    assert np.isnan(c)
    assert evaluate(found, ["pr_auc"])["pr_auc"] == pytest.approx((a + b) / 2)
    counts = np.array([[1, 3, 5], [0, 0, 2]], float)
    assert statistic(found, "pr_auc")(counts).tolist() == pytest.approx([(a + 3 * b) / 4, 0])
    with pytest.raises(GraphRecError, match="a set that is not empty"):
        evaluate(found.where(pl.col("user") == "c"), ["pr_auc"])
    assert per_user(visits(0.5), "jaccard").tolist() == pytest.approx([1 / 2, 0, 1])


def test_average_precision_beside_scikit_learn() -> None:
    sklearn = pytest.importorskip("sklearn.metrics")
    draw = np.random.default_rng(0)
    for _ in range(20):
        label, score = draw.integers(0, 2, 30).astype(float), draw.integers(0, 9, 30) / 9
        expected = sklearn.average_precision_score(label, score)
        assert average_precision(label, score) == pytest.approx(expected)


class Oracle:
    """Knows the test sets."""

    def __init__(self, split: Split) -> None:
        self.pairs = set(zip(split.test.source.tolist(), split.test.target.tolist(), strict=True))

    def values(self, source: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        asked = zip(source.tolist(), target.tolist(), strict=True)
        return torch.tensor([float(pair in self.pairs) for pair in asked]).double()


def test_everybody_is_asked_about_everything(shop: Split) -> None:
    chosen = task.build("sets")
    found = chosen.judge(Oracle(shop), shop, "test", RankingConfig())
    users, items = shop.test.source.unique(), shop.graph.num_nodes("item")
    assert len(found) == len(users) * items
    assert int(found.value.sum()) == len(Oracle(shop).pairs)
    assert evaluate(found, NAMES) == dict.fromkeys(NAMES, 1.0)
    again = found.where(pl.col("user") == found.users[0])
    assert evaluate(again, NAMES) == dict.fromkeys(NAMES, 1.0)


def test_a_baseline_knows_how_often_an_item_is_in_a_training_set(shop: Split) -> None:
    known, edges = known_sets(shop), shop.train.edges("rates")
    pairs = set(zip(edges.source.tolist(), edges.target.tolist(), strict=True))
    assert int(known.value.sum()) == len(pairs)
    assert len(known.value) == len(edges.source.unique()) * shop.graph.num_nodes("item")
    chosen = task.build("sets")
    rate = chosen.fitted({"name": "popularity_rate", "strength": 1e-9}, shop, "test")
    item = shop.graph.nodes("item").start
    own = sum(target == item for _, target in pairs) / len(edges.source.unique())
    value = rate.values(torch.tensor([0]), torch.tensor([item]))
    assert float(value) == pytest.approx(own)

"""Metrics of lists by hand and against scikit-learn."""

import numpy as np
import polars as pl
import pytest
from sklearn.metrics import roc_auc_score

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.evaluation.impressions import Impressions
from graphrec_pt.evaluation.metric import evaluate, per_user


def outcome(lists: list[tuple[str, str, list[float], list[float]]]) -> Impressions:
    rows = [
        ("test", user, name, f"i{at}", label, score)
        for user, name, labels, scores in lists
        for at, (label, score) in enumerate(zip(labels, scores, strict=True))
    ]
    columns = ["split", "user", "impression", "item", "value", "predicted"]
    return Impressions(pl.DataFrame(rows, schema=columns, orient="row"), {"history": "train"})


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

"""Metrics of predicted values: their plain functions, resampled users, and what they refuse."""

from collections.abc import Callable

import numpy as np
import polars as pl
import pytest

from graphrec_pt import GraphRecError, Key
from graphrec_pt.evaluation.intervals import compare, resampled
from graphrec_pt.evaluation.metric import evaluate, per_user, statistic
from graphrec_pt.evaluation.predicted import Predicted
from graphrec_pt.evaluation.ranks import Ranks

DRAW = np.random.default_rng(0)
USER = DRAW.integers(0, 12, 150)
LABEL = DRAW.integers(0, 2, 150).astype(float)
GUESS = DRAW.integers(1, 20, 150) / 20  # with ties


def rmse(label: np.ndarray, guess: np.ndarray) -> float:
    return float(np.sqrt(np.mean((label - guess) ** 2)))


def log_loss(label: np.ndarray, guess: np.ndarray) -> float:
    chance = np.where(label == 1, guess, 1 - guess)
    return -float(np.mean(np.log(chance)))


def label_auc(label: np.ndarray, score: np.ndarray) -> float:
    pairs = [np.sign(p - n) for p in score[label == 1] for n in score[label == 0]]
    return float((np.mean(pairs) + 1) / 2)


def label_gauc(user: np.ndarray, label: np.ndarray, score: np.ndarray) -> float:
    groups = [np.flatnonzero(user == each) for each in np.unique(user)]
    both = [rows for rows in groups if 0 < label[rows].sum() < len(rows)]
    aucs = [label_auc(label[rows], score[rows]) for rows in both]
    return float(np.average(aucs, weights=[len(rows) for rows in both]))


SLOW: dict[str, Callable[[np.ndarray, np.ndarray, np.ndarray], float]] = {
    "rmse": lambda user, label, guess: rmse(label, guess),
    "mae": lambda user, label, guess: float(np.mean(np.abs(label - guess))),
    "log_loss": lambda user, label, guess: log_loss(label, guess),
    "label_auc": lambda user, label, guess: label_auc(label, guess),
    "label_gauc": label_gauc,
}


def predicted(user: np.ndarray, value: np.ndarray, guess: np.ndarray) -> Predicted:
    table = pl.DataFrame(
        {
            "split": ["test"] * len(user),
            "user": [f"u{number:02}" for number in user],
            "item": ["i"] * len(user),
            "value": value.astype(float),
            "predicted": guess.astype(float),
        }
    )
    return Predicted(table, {"history": "train"})


@pytest.mark.parametrize("name", SLOW)
def test_all_users_once_is_the_plain_metric(name: str) -> None:
    found = evaluate(predicted(USER, LABEL, GUESS), [name])[name]
    assert found == pytest.approx(SLOW[name](USER, LABEL, GUESS))


@pytest.mark.parametrize("name", SLOW)
def test_counting_users_is_repeating_their_rows(name: str) -> None:
    counts = np.array([[2, 0, 1, 1, 3, 0, 1, 1, 1, 0, 1, 1], [1] * 12], float)
    found = statistic(predicted(USER, LABEL, GUESS), name)(counts)
    often = enumerate(counts[0].astype(int))
    rows = np.concatenate([np.flatnonzero(user == USER).repeat(count) for user, count in often])
    # A user drawn twice is one group of twice the size, or two: the same weight and AUC.
    assert found[0] == pytest.approx(SLOW[name](USER[rows], LABEL[rows], GUESS[rows]))
    assert found[1] == pytest.approx(SLOW[name](USER, LABEL, GUESS))


@pytest.mark.parametrize("name", SLOW)
def test_blocks_do_not_matter(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    outcome = predicted(USER, LABEL, GUESS)
    whole = resampled(outcome, [name], Key(1), 9)
    monkeypatch.setattr("graphrec_pt.evaluation.value_metrics.CELLS", 1)
    np.testing.assert_allclose(resampled(outcome, [name], Key(1), 9), whole)


def test_users_alone() -> None:
    outcome = predicted(np.array([0, 0, 1, 2]), np.array([1, 0, 1, 0]), np.array([0.5, 0, 0.5, 1]))
    assert per_user(outcome, "rmse").tolist() == pytest.approx([0.125**0.5, 0.5, 1])
    assert per_user(outcome, "mae").tolist() == [0.25, 0.5, 1]
    alone = per_user(outcome, "label_gauc")
    assert alone[0] == 1
    assert np.isnan(alone[1:]).all()  # one kind of label tells nothing


def test_a_better_predictor_is_told_apart() -> None:
    close, far = (predicted(USER, LABEL, LABEL + noise) for noise in (0.1 * GUESS, GUESS))
    found = compare(close, far, "rmse", Key(0))
    assert found.difference == pytest.approx(-0.9 * rmse(0 * GUESS, GUESS))
    assert found.low < found.difference < found.high < 0
    assert found.p_bootstrap < 0.01
    assert found.p_t < 0.01
    assert compare(close, close, "label_auc", Key(0)).p_bootstrap == 1


def test_what_cannot_be_compared_or_measured() -> None:
    outcome = predicted(USER, LABEL, GUESS)
    with pytest.raises(GraphRecError, match="the same targets, got 1 that only one has"):
        compare(outcome.where(pl.int_range(pl.len()) > 0), outcome, "rmse", Key(0))
    with pytest.raises(GraphRecError, match="ndcg@10: expected the class Ranks, got Predicted"):
        evaluate(outcome, ["ndcg@10"])
    schema = {"split": pl.String, "user": pl.String, "item": pl.String}
    row = pl.DataFrame([("test", "a", "x")], schema, orient="row")
    ranks = Ranks(row.with_columns(rank=pl.lit(1.0), candidates=pl.lit(3, pl.Int64)))
    with pytest.raises(GraphRecError, match="rmse: expected the class Predicted, got Ranks"):
        evaluate(ranks, ["rmse"])
    with pytest.raises(GraphRecError, match="finite values"):
        predicted(USER, LABEL, np.where(USER == 0, np.nan, GUESS))
    with pytest.raises(GraphRecError, match="positives and negatives, got one kind"):
        evaluate(outcome.where(pl.col("value") == 1), ["label_auc"])

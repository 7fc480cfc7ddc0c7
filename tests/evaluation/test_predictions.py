"""Metrics of predicted values beside torchmetrics and counting pairs."""

import numpy as np
import pytest
import torch

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.evaluation.predictions import label_auc, label_gauc, log_loss, mae, rmse

DRAW = np.random.default_rng(0)
LABEL = DRAW.integers(0, 2, 200)
SCORE = DRAW.integers(0, 20, 200) / 20  # with ties
USER = DRAW.integers(0, 9, 200)


def slow_auc(label: np.ndarray, score: np.ndarray) -> float:
    pairs = [np.sign(p - n) for p in score[label == 1] for n in score[label == 0]]
    return float((np.mean(pairs) + 1) / 2)


def test_by_hand() -> None:
    assert rmse([1, 2, 3], [1, 4, 2]) == pytest.approx(np.sqrt(5 / 3))
    assert mae([1, 2, 3], [1, 4, 2]) == 1
    assert log_loss([1, 0], [0.5, 0.75]) == pytest.approx((np.log(2) + np.log(4)) / 2)
    assert log_loss([1], [0.0]) == pytest.approx(-np.log(1e-15))


def test_auc_counts_pairs() -> None:
    assert label_auc(LABEL, SCORE) == pytest.approx(slow_auc(LABEL, SCORE))


def test_gauc_weights_groups_by_size() -> None:
    group = np.append(USER, 99)  # a group of one label
    label, score = np.append(LABEL, 1), np.append(SCORE, 0.0)
    sizes = np.bincount(USER)
    groups = [np.flatnonzero(u == USER) for u in range(9)]
    wanted = [slow_auc(LABEL[rows], SCORE[rows]) for rows in groups]
    assert label_gauc(group, label, score) == pytest.approx(np.average(wanted, weights=sizes))


def test_torchmetrics_agrees() -> None:
    classification = pytest.importorskip("torchmetrics.functional.classification")
    regression = pytest.importorskip("torchmetrics.functional.regression")
    score, label = torch.from_numpy(SCORE), torch.from_numpy(LABEL)
    assert label_auc(LABEL, SCORE) == pytest.approx(
        float(classification.binary_auroc(score, label)), abs=1e-6
    )
    assert mae(LABEL, SCORE) == pytest.approx(
        float(regression.mean_absolute_error(score, label)), abs=1e-6
    )
    assert rmse(LABEL, SCORE) == pytest.approx(
        float(regression.mean_squared_error(score, label.double(), squared=False)), abs=1e-6
    )


def test_what_cannot_be_measured() -> None:
    with pytest.raises(GraphRecError, match="rmse: expected two arrays"):
        rmse([1, 2], [1])
    with pytest.raises(GraphRecError, match="mae: expected finite numbers"):
        mae([1.0], [np.nan])
    with pytest.raises(GraphRecError, match="labels 0 and 1"):
        label_auc([1, 2], [0.1, 0.2])
    with pytest.raises(GraphRecError, match="positives and negatives, got one kind"):
        label_auc([1, 1], [0.1, 0.2])
    with pytest.raises(GraphRecError, match="a group with positives and negatives"):
        label_gauc([0, 1], [1, 0], [0.1, 0.2])
    with pytest.raises(GraphRecError, match="2 groups, got 1"):
        label_gauc([0], [1, 0], [0.1, 0.2])

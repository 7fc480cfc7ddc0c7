"""Metrics of predicted values and labels, where nothing is ranked: ratings and clicks."""

import numpy as np
import numpy.typing as npt

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.evaluation.ranks import Floats


def rmse(truth: npt.ArrayLike, predicted: npt.ArrayLike) -> float:
    """Return the root of the mean squared error of ``[n]`` predictions."""
    true, guess = _pair("rmse", truth, predicted)
    return float(np.sqrt(np.mean((true - guess) ** 2)))


def mae(truth: npt.ArrayLike, predicted: npt.ArrayLike) -> float:
    """Return the mean absolute error of ``[n]`` predictions."""
    true, guess = _pair("mae", truth, predicted)
    return float(np.mean(np.abs(true - guess)))


def log_loss(label: npt.ArrayLike, probability: npt.ArrayLike) -> float:
    """Return the mean negative log-likelihood of labels 0 or 1, probabilities kept off 0 and 1."""
    return float(log_losses(label, probability).mean())


def log_losses(label: npt.ArrayLike, probability: npt.ArrayLike) -> Floats:
    """Return the negative log-likelihood of each label: ``[n]``."""
    true, guess = _labelled("log_loss", label, probability)
    guess = np.clip(guess, 1e-15, 1 - 1e-15)
    return -np.where(true > 0, np.log(guess), np.log1p(-guess))


def label_auc(label: npt.ArrayLike, score: npt.ArrayLike) -> float:
    """Return the chance that a positive scores above a negative, ties counting half.

    Args:
        label: ``[n]`` of 0 and 1, both present.
        score: ``[n]``.
    """
    true, guess = _labelled("label_auc", label, score)
    found = auc_of(true, guess)
    if np.isnan(found):
        raise GraphRecError("label_auc", "positives and negatives", "one kind")
    return found


def label_gauc(group: npt.ArrayLike, label: npt.ArrayLike, score: npt.ArrayLike) -> float:
    """Return the AUC inside each group, weighted with its size (Zhu et al., KDD 2017).

    Args:
        group: ``[n]``, e.g. users; groups with one kind of label are left out.
        label: ``[n]`` of 0 and 1.
        score: ``[n]``.
    """
    true, guess = _labelled("label_gauc", label, score)
    _, code = np.unique(np.asarray(group), return_inverse=True)
    if code.shape != true.shape:
        raise GraphRecError("label_gauc", f"{len(true)} groups", len(code))
    order = np.argsort(code, kind="stable")
    parts = np.split(order, np.flatnonzero(np.diff(code[order])) + 1)
    found = np.array([auc_of(true[part], guess[part]) for part in parts])
    size = np.array([len(part) for part in parts])
    told = ~np.isnan(found)
    if not told.any():
        raise GraphRecError("label_gauc", "a group with positives and negatives", "none")
    return float(np.average(found[told], weights=size[told]))


def auc_of(label: Floats, score: Floats) -> float:
    """Return the AUC of labels 0 and 1, NaN for one kind alone."""
    from scipy.stats import rankdata

    positives = int(label.sum())
    negatives = len(label) - positives
    if not positives or not negatives:
        return float("nan")
    total = float(rankdata(score)[label > 0].sum())
    return (total - positives * (positives + 1) / 2) / (positives * negatives)


def _pair(who: str, truth: npt.ArrayLike, predicted: npt.ArrayLike) -> tuple[Floats, Floats]:
    true, guess = np.asarray(truth, np.float64), np.asarray(predicted, np.float64)
    if true.shape != guess.shape or true.ndim != 1 or not len(true):
        raise GraphRecError(who, "two arrays [n]", f"{true.shape} and {guess.shape}")
    if not np.isfinite(true).all() or not np.isfinite(guess).all():
        raise GraphRecError(who, "finite numbers", "NaN or ∞")
    return true, guess


def _labelled(who: str, label: npt.ArrayLike, score: npt.ArrayLike) -> tuple[Floats, Floats]:
    true, guess = _pair(who, label, score)
    if not np.isin(true, (0, 1)).all():
        raise GraphRecError(who, "labels 0 and 1", "others")
    return true, guess

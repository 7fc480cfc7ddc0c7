"""Metrics of predicted values and labels: RMSE, MAE, log loss, AUC, grouped AUC.

None of them is a mean over users, so each has a method ``over`` that weights users by counts; the
bootstrap over users needs it.
"""

from typing import ClassVar

import numpy as np

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.evaluation.metric import metric
from graphrec_pt.evaluation.predicted import Predicted
from graphrec_pt.evaluation.ranks import Floats

CELLS = 1 << 22
"""Numbers that exist at once."""


@metric("rmse")
class RMSE:
    """Root of the mean squared error: ``√(1/n Σ (y − ŷ)²)`` over all targets."""

    of: ClassVar[str] = "Predicted"

    def values(self, predicted: Predicted) -> Floats:
        """Return that of each user's targets: ``[U]``."""
        errors: Floats = np.sqrt(_sums(predicted, _squares(predicted)) / _sizes(predicted))
        return errors

    def over(self, predicted: Predicted, counts: Floats) -> Floats:
        """Return its values over resampled users: ``[R, U]`` to ``[R]``."""
        errors: Floats = np.sqrt(_ratio(predicted, _squares(predicted), counts))
        return errors


@metric("mae")
class MAE:
    """Mean absolute error: ``1/n Σ |y − ŷ|`` over all targets."""

    of: ClassVar[str] = "Predicted"

    def values(self, predicted: Predicted) -> Floats:
        """Return that of each user's targets: ``[U]``."""
        return _sums(predicted, _distances(predicted)) / _sizes(predicted)

    def over(self, predicted: Predicted, counts: Floats) -> Floats:
        """Return its values over resampled users: ``[R, U]`` to ``[R]``."""
        return _ratio(predicted, _distances(predicted), counts)


@metric("log_loss")
class LogLoss:
    """Mean negative log-likelihood of labels 0 and 1, predictions being probabilities."""

    of: ClassVar[str] = "Predicted"

    def values(self, predicted: Predicted) -> Floats:
        """Return that of each user's targets: ``[U]``."""
        return _sums(predicted, _likelihoods(predicted)) / _sizes(predicted)

    def over(self, predicted: Predicted, counts: Floats) -> Floats:
        """Return its values over resampled users: ``[R, U]`` to ``[R]``."""
        return _ratio(predicted, _likelihoods(predicted), counts)


@metric("label_gauc")
class LabelGAUC:
    """AUC of each user's targets, weighted with their number (Zhu et al., KDD 2017).

    Users whose targets have one kind of label alone are left out.
    """

    of: ClassVar[str] = "Predicted"

    def values(self, predicted: Predicted) -> Floats:
        """Return the AUC of each user, NaN for one kind of label: ``[U]``."""
        order = np.argsort(predicted.user, kind="stable")
        rows = np.split(order, np.cumsum(_sizes(predicted).astype(np.int64))[:-1])
        return np.array([auc_of(predicted.value[at], predicted.predicted[at]) for at in rows])

    def over(self, predicted: Predicted, counts: Floats) -> Floats:
        """Return its values over resampled users: ``[R, U]`` to ``[R]``."""
        values = self.values(predicted)
        defined = ~np.isnan(values)
        if not defined.any():
            raise GraphRecError("label_gauc", "a user with positives and negatives", "none")
        weight = counts[:, defined] * _sizes(predicted)[defined]
        total = weight.sum(axis=1)
        # The AUC of a resample without such a user is undefined; it counts as one half.
        return np.where(total > 0, weight @ values[defined] / np.maximum(total, 1), 0.5)


@metric("label_auc")
class LabelAUC:
    """Chance that a target labelled 1 is predicted above one labelled 0, ties counting half.

    Over all pairs of targets, of one user or of two.
    """

    of: ClassVar[str] = "Predicted"

    def values(self, predicted: Predicted) -> Floats:
        """Return the AUC of each user, NaN for one kind of label: ``[U]``."""
        return LabelGAUC().values(predicted)

    def over(self, predicted: Predicted, counts: Floats) -> Floats:
        """Return its values over resampled users: ``[R, U]`` to ``[R]``."""
        order = np.argsort(predicted.predicted, kind="stable")
        user, label = predicted.user[order], predicted.value[order] > 0
        if label.all() or not label.any():
            raise GraphRecError("label_auc", "positives and negatives", "one kind")
        score = predicted.predicted[order]
        first = np.flatnonzero(np.diff(score, prepend=-np.inf))  # of each run of equal scores
        rows = max(CELLS // len(user), 1)
        parts = np.split(counts, range(rows, len(counts), rows))
        return np.concatenate([_weighted_auc(part[:, user], label, first) for part in parts])


def _weighted_auc(weight: Floats, label: np.ndarray, first: np.ndarray) -> Floats:
    """Return the AUC of targets with weights ``[R, n]``, ascending by score."""
    ones = np.add.reduceat(weight * label, first, axis=1)  # [R, runs]
    zeros = np.add.reduceat(weight * ~label, first, axis=1)
    below = np.cumsum(zeros, axis=1) - zeros / 2
    pairs = ones.sum(axis=1) * zeros.sum(axis=1)
    return np.where(pairs > 0, (ones * below).sum(axis=1) / np.maximum(pairs, 1), 0.5)


def _squares(predicted: Predicted) -> Floats:
    return (predicted.value - predicted.predicted) ** 2


def _distances(predicted: Predicted) -> Floats:
    return np.abs(predicted.value - predicted.predicted)


def _likelihoods(predicted: Predicted) -> Floats:
    return log_losses(predicted.value, predicted.predicted)


def _sizes(predicted: Predicted) -> Floats:
    """Return the targets of each user: ``[U]``."""
    return np.bincount(predicted.user, minlength=len(predicted.users)).astype(np.float64)


def _sums(predicted: Predicted, values: Floats) -> Floats:
    """Return sums over each user's targets: ``[n]`` to ``[U]``."""
    total = np.zeros(len(predicted.users))
    np.add.at(total, predicted.user, values)
    return total


def _ratio(predicted: Predicted, values: Floats, counts: Floats) -> Floats:
    """Return the mean over all targets of resampled users: ``[R]``."""
    return (counts @ _sums(predicted, values)) / (counts @ _sizes(predicted))


def log_losses(label: Floats, probability: Floats) -> Floats:
    """Return the negative log-likelihood of labels 0 and 1, probabilities kept off them: ``[n]``.

    Raises:
        GraphRecError: For other labels.
    """
    if not np.isin(label, (0, 1)).all():
        raise GraphRecError("log_loss", "labels 0 and 1", "others")
    guess = np.clip(probability, 1e-15, 1 - 1e-15)
    return -np.where(label > 0, np.log(guess), np.log1p(-guess))


def auc_of(label: Floats, score: Floats) -> float:
    """Return the AUC of labels 0 and 1, NaN for one kind alone."""
    from scipy.stats import rankdata

    positives = int(label.sum())
    negatives = len(label) - positives
    if not positives or not negatives:
        return float("nan")
    total = float(rankdata(score)[label > 0].sum())
    return (total - positives * (positives + 1) / 2) / (positives * negatives)

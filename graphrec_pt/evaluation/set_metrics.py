"""Metrics of predicted sets: Jaccard, F1 and area under the precision–recall curve per source.

These are the metrics of medication recommendation (GAMENet, Shang et al., AAAI 2019; G-BERT, IJCAI
2019): a number for each visit, and the mean over visits.
"""

from collections.abc import Callable
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.evaluation.metric import metric
from graphrec_pt.evaluation.predicted import Predicted
from graphrec_pt.evaluation.ranks import Floats

THRESHOLD = "threshold"
"""Key of a policy with the least chance of a node in the predicted set; .5 by default."""


@metric("jaccard")
class Jaccard:
    """``|S ∩ Ŝ| / |S ∪ Ŝ|`` of the true and the predicted set of each source; 1 for two empty."""

    of: ClassVar[str] = "Predicted"

    def values(self, predicted: Predicted) -> Floats:
        """Return that of each source: ``[U]``."""
        both, true, guess = _sizes(predicted)
        union = true + guess - both
        return np.where(union > 0, both / np.maximum(union, 1), 1.0)


@metric("set_f1")
class SetF1:
    """``2 |S ∩ Ŝ| / (|S| + |Ŝ|)`` of each source; 1 for two empty sets."""

    of: ClassVar[str] = "Predicted"

    def values(self, predicted: Predicted) -> Floats:
        """Return that of each source: ``[U]``."""
        both, true, guess = _sizes(predicted)
        return np.where(true + guess > 0, 2 * both / np.maximum(true + guess, 1), 1.0)


@metric("pr_auc")
class PRAUC:
    """Average precision of each source, ``Σ_k (R_k − R_{k−1}) P_k``.

    Nodes of equal chance come in together, as in scikit-learn. Sources with an empty set are left
    out of the mean.
    """

    of: ClassVar[str] = "Predicted"

    def values(self, predicted: Predicted) -> Floats:
        """Return that of each source, NaN for an empty set: ``[U]``."""
        return _each(predicted, average_precision)

    def over(self, predicted: Predicted, counts: Floats) -> Floats:
        """Return its values over resampled sources: ``[R, U]`` to ``[R]``."""
        values = self.values(predicted)
        defined = ~np.isnan(values)
        if not defined.any():
            raise GraphRecError("pr_auc", "a set that is not empty", "none")
        weight = counts[:, defined]
        # A resample without such a source has a value of 0.
        precision: Floats = weight @ values[defined] / np.maximum(weight.sum(axis=1), 1)
        return precision


def average_precision(label: Floats, score: Floats) -> float:
    """Return the average precision of labels 0 and 1, NaN where none is 1.

    Args:
        label: ``[n]``.
        score: ``[n]``; ties count as one step.
    """
    if not label.any():
        return float("nan")
    order = np.argsort(-score, kind="stable")
    label, score = label[order], score[order]
    step = np.append(np.diff(score) != 0, True)  # the last of each run of ties
    hits = np.cumsum(label)[step]
    shown = np.flatnonzero(step) + 1
    gained = np.diff(hits, prepend=0) / label.sum()
    return float((gained * hits / shown).sum())


def _sizes(predicted: Predicted) -> tuple[Floats, Floats, Floats]:
    """Return the sizes of intersection, true and predicted set of each source: ``[U]`` each."""
    limit = float(predicted.policy.get(THRESHOLD, 0.5))
    true, guess = predicted.value > 0, predicted.predicted >= limit
    users = len(predicted.users)

    def count(which: npt.NDArray[np.bool_]) -> Floats:
        return np.bincount(predicted.user[which], minlength=users).astype(np.float64)

    return count(true & guess), count(true), count(guess)


def _each(predicted: Predicted, measure: Callable[[Floats, Floats], float]) -> Floats:
    order = np.argsort(predicted.user, kind="stable")
    ends = np.cumsum(np.bincount(predicted.user, minlength=len(predicted.users)))[:-1]
    rows = np.split(order, ends)
    return np.array([measure(predicted.value[r], predicted.predicted[r]) for r in rows])

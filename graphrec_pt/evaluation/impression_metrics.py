"""Metrics of lists that were shown: AUC, MRR and NDCG of each list, and their mean over lists.

They are those of MIND (Wu et al., ACL 2020): every list counts once, however many items it has.
Equal scores count by expectation: each order of the tied items is as likely.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import ClassVar

import numpy as np

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.evaluation.accuracy import Cutoff
from graphrec_pt.evaluation.impressions import Impressions
from graphrec_pt.evaluation.metric import metric
from graphrec_pt.evaluation.ranks import Floats
from graphrec_pt.evaluation.value_metrics import auc_of


class _OfLists(ABC):
    """A mean over lists; a list of one label is undefined and left out."""

    of: ClassVar[str] = "Impressions"

    @abstractmethod
    def of_list(self, label: Floats, score: Floats) -> float:
        """Return the value of one list that has both labels."""

    def values(self, outcome: Impressions) -> Floats:
        """Return the mean over each user's lists, NaN without a list of both labels: ``[U]``."""
        total, count = self._sums(outcome)
        return np.where(count > 0, total / np.maximum(count, 1), np.nan)

    def over(self, outcome: Impressions, counts: Floats) -> Floats:
        """Return the mean over all lists of resampled users: ``[R, U]`` to ``[R]``.

        Raises:
            GraphRecError: When no list has both labels.
        """
        total, count = self._sums(outcome)
        if not count.any():
            raise GraphRecError("impressions", "a list with clicked and other items", "none")
        return (counts @ total) / np.maximum(counts @ count, 1)

    def _sums(self, outcome: Impressions) -> tuple[Floats, Floats]:
        values = outcome.per_list(_both(self.of_list))
        total, count = np.zeros(len(outcome.users)), np.zeros(len(outcome.users))
        kept = ~np.isnan(values)
        np.add.at(total, outcome.owner[kept], values[kept])
        np.add.at(count, outcome.owner[kept], 1)
        return total, count


@metric("impression_auc")
class ImpressionAUC(_OfLists):
    """Chance that a clicked item of a list stands above one that was not clicked."""

    def of_list(self, label: Floats, score: Floats) -> float:
        """Return the AUC of one list."""
        return auc_of(label, score)


@metric("impression_mrr")
class ImpressionMRR(_OfLists):
    """Mean of 1 / rank over *all* clicked items of a list, as the code of MIND has it.

    The usual MRR counts the first hit alone; this one is lower where several were clicked.
    """

    def of_list(self, label: Floats, score: Floats) -> float:
        """Return the MRR of one list."""
        return float(_gains(score, lambda rank: 1 / rank)[label > 0].mean())


@metric("impression_ndcg")
class ImpressionNDCG(_OfLists):
    """``Σ_{r ≤ k} y_r / log₂(r + 1)`` over that of the best order of the list.

    Args:
        k: Places of the list that count.
    """

    k: Cutoff

    def of_list(self, label: Floats, score: Floats) -> float:
        """Return the NDCG of one list."""

        def gain(rank: Floats) -> Floats:
            return np.where(rank <= self.k, 1 / np.log2(rank + 1), 0.0)

        ideal = gain(np.arange(1, int(label.sum()) + 1, dtype=np.float64)).sum()
        return float(_gains(score, gain)[label > 0].sum() / ideal)


def _both(value: Callable[[Floats, Floats], float]) -> Callable[[Floats, Floats], float]:
    def defined(label: Floats, score: Floats) -> float:
        return value(label, score) if 0 < label.sum() < len(label) else float("nan")

    return defined


def _gains(score: Floats, gain: Callable[[Floats], Floats]) -> Floats:
    """Return the expected gain of each item, tied items sharing the ranks that they take."""
    from scipy.stats import rankdata

    every = gain(np.arange(1, len(score) + 1, dtype=np.float64))
    before = np.concatenate([np.zeros(1), np.cumsum(every)])
    last = rankdata(-score, method="max").astype(np.int64)
    first = rankdata(-score, method="min").astype(np.int64)
    gains: Floats = (before[last] - before[first - 1]) / (last - first + 1)
    return gains

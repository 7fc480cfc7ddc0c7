"""Accuracy of rankings, per user: hits, recall, precision, NDCG, MRR, MAP, AUC.

A user has *n* targets at ranks ``r_1 ≤ … ≤ r_n``. Ranks are expected ones under ties and may be
halves; a target is inside the first *k* when its rank is at most *k*.
"""

from typing import Annotated

import numpy as np
import numpy.typing as npt
from pydantic import Field

from graphrec_pt.evaluation.metric import metric
from graphrec_pt.evaluation.ranks import Floats, Ints, Ranks

Bools = npt.NDArray[np.bool_]
Cutoff = Annotated[int, Field(ge=1)]


def hits(ranks: Ranks, k: int | None) -> Floats:
    """Return how many targets of each user are among the first `k`: ``[U]``."""
    return ranks.per_user(_inside(ranks, k))


@metric("hr")
class HitRate:
    """Whether any target is among the first `k`.

    Args:
        k: Places of the list that count.
    """

    k: Cutoff

    def values(self, ranks: Ranks) -> Floats:
        """Return 0 or 1 per user: ``[U]``."""
        return (hits(ranks, self.k) > 0).astype(np.float64)


@metric("recall")
class Recall:
    """Share of the targets that are among the first `k`: ``hits / n``.

    Args:
        k: Places of the list that count.
    """

    k: Cutoff

    def values(self, ranks: Ranks) -> Floats:
        """Return one value per user: ``[U]``."""
        return hits(ranks, self.k) / ranks.count


@metric("precision")
class Precision:
    """Share of the first `k` places that hold targets: ``hits / k``.

    Args:
        k: Places of the list that count.
    """

    k: Cutoff

    def values(self, ranks: Ranks) -> Floats:
        """Return one value per user: ``[U]``."""
        return hits(ranks, self.k) / self.k


@metric("f1")
class F1:
    """Harmonic mean of precision and recall: ``2 hits / (k + n)``.

    Args:
        k: Places of the list that count.
    """

    k: Cutoff

    def values(self, ranks: Ranks) -> Floats:
        """Return one value per user: ``[U]``."""
        return 2 * hits(ranks, self.k) / (self.k + ranks.count)


@metric("ndcg")
class NDCG:
    """Discounted gain over that of the best ranking of all targets.

    ``Σ_{r ≤ k} 1/log₂(r + 1)  /  Σ_{i = 1}^{min(n, k)} 1/log₂(i + 1)`` (Järvelin and Kekäläinen,
    TOIS 2002). The ideal counts every target, found or not.

    Args:
        k: Places of the list that count.
    """

    k: Cutoff

    def values(self, ranks: Ranks) -> Floats:
        """Return one value per user: ``[U]``."""
        return _gain(ranks, self.k) / _ideal(np.minimum(ranks.count, self.k))


@metric("ndcg_retrieved_ideal")
class RetrievedIdealNDCG:
    """Compat: discounted gain over the best order of the targets that were *found*.

    A user with 30 targets and one hit in first place gets 1. Some published tables (KGAT, PEARLM,
    KGGLM) use it; it overstates whenever users have several targets.

    Args:
        k: Places of the list that count.
    """

    k: Cutoff

    def values(self, ranks: Ranks) -> Floats:
        """Return one value per user: ``[U]``."""
        count = hits(ranks, self.k).astype(np.int64)
        return _gain(ranks, self.k) / np.where(count > 0, _ideal(count), 1)


@metric("mrr")
class MRR:
    """Reciprocal rank of the best target, 0 where it is beyond `k`.

    Args:
        k: Places of the list that count; all by default.
    """

    k: Cutoff | None = None

    def values(self, ranks: Ranks) -> Floats:
        """Return one value per user: ``[U]``."""
        best = (ranks.place == 1) & _inside(ranks, self.k)
        return ranks.per_user(best / ranks.rank)


@metric("map")
class MAP:
    """Average precision: ``1/n Σ_{r_j ≤ k} j / r_j``, the mean over all *n* targets.

    Args:
        k: Places of the list that count; all by default.
    """

    k: Cutoff | None = None

    def values(self, ranks: Ranks) -> Floats:
        """Return one value per user: ``[U]``."""
        # Two tied targets share a mean rank that may be below the second one's place.
        precision = np.minimum(ranks.place / ranks.rank, 1)
        return ranks.per_user(_inside(ranks, self.k) * precision) / ranks.count


@metric("auc")
class AUC:
    """Chance that a target is ranked above a candidate that is none (Mann and Whitney, 1947)."""

    def values(self, ranks: Ranks) -> Floats:
        """Return one value per user, 0 for targets that were no candidates: ``[U]``."""
        ranked = np.isfinite(ranks.rank)
        n = ranks.per_user(ranked)
        total = ranks.per_user(np.where(ranked, ranks.rank, 0))
        most = np.zeros(len(n))
        np.maximum.at(most, ranks.user, ranks.candidates)
        others = np.maximum(most - n, 0)
        above = n * others + n * (n + 1) / 2 - total
        # Without other candidates the AUC is undefined; it counts as one half.
        share = np.where(others * n > 0, above / np.maximum(others * n, 1), 0.5)
        return share * n / ranks.count


@metric("gauc")
class GAUC:
    """AUC of each user weighted with the number of targets (Zhu et al., KDD 2017)."""

    def values(self, ranks: Ranks) -> Floats:
        """Return one value per user, scaled so that the plain mean is the weighted one: ``[U]``."""
        values: Floats = AUC().values(ranks) * ranks.count / ranks.count.mean()
        return values


def _inside(ranks: Ranks, k: int | None) -> Bools:
    inside: Bools = np.isfinite(ranks.rank) if k is None else ranks.rank <= k
    return inside


def _gain(ranks: Ranks, k: int) -> Floats:
    return ranks.per_user(_inside(ranks, k) / np.log2(ranks.rank + 1))


def _ideal(targets: Ints) -> Floats:
    """Return the gain of that many targets in the first places: shape of `targets`."""
    steps = 1 / np.log2(np.arange(int(targets.max(initial=0))) + 2)
    gain: Floats = np.concatenate([np.zeros(1), np.cumsum(steps)])
    ideal: Floats = gain[targets]
    return ideal

"""Metrics of how varied written texts are: Distinct, USR, FCR, DIV and ENTR.

Metrics that count *different* texts, n-grams or names give each occurrence the share 1/m, where m
is how often it occurs in all: the sum is the number of different ones, and a resample keeps these
shares. (A resample repeats users, and would otherwise look less varied than the whole.)
"""

from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from typing import ClassVar

import numpy as np
from scipy.sparse import csr_array

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.core.memo import Memo
from graphrec_pt.evaluation.metric import metric
from graphrec_pt.evaluation.ranks import Floats
from graphrec_pt.evaluation.text_metrics import Order, TextShare, filled
from graphrec_pt.evaluation.text_scores import Gram, ngrams
from graphrec_pt.evaluation.written import VOCABULARY, Written

BLOCK = 64
"""Resamples whose n-grams are counted at once."""
_kept: Memo[Floats] = Memo()  # of an outcome, by n


@metric("distinct")
class Distinct(TextShare):
    """Different n-grams divided by all n-grams, n = `k` (Li et al., NAACL 2016).

    Args:
        k: Length of the n-grams.
    """

    k: Order

    def rows(self, written: Written) -> tuple[Floats, Floats]:
        """Return shares of different n-grams, and n-grams."""
        return _different(written, self.k), _grams(written, self.k)


@metric("distinct_sentences")
class DistinctBySentence(TextShare):
    """Different n-grams per text that is not empty, n = `k`; may exceed 1 (KGSF, UniCRS, MESE).

    Args:
        k: Length of the n-grams.
    """

    k: Order

    def rows(self, written: Written) -> tuple[Floats, Floats]:
        """Return shares of different n-grams, and 1 for a text that is not empty."""
        return _different(written, self.k), filled(written)


@metric("distinct_each")
class DistinctEach(TextShare):
    """Mean over texts of a text's different n-grams divided by its n-grams, n = `k`.

    Args:
        k: Length of the n-grams.
    """

    k: Order

    def rows(self, written: Written) -> tuple[Floats, Floats]:
        """Return the share of each text, and 1 for a text with n-grams."""
        sizes = _grams(written, self.k)
        different = np.array([len(ngrams(text, self.k)) for text in written.texts], np.float64)
        return different / np.maximum(sizes, 1), (sizes > 0).astype(np.float64)


@metric("usr")
class UniqueSentenceRatio(TextShare):
    """Share of different texts (USR; Li et al., CIKM 2020)."""

    def rows(self, written: Written) -> tuple[Floats, Floats]:
        """Return shares of different texts, and 1."""
        return _once([[tuple(text)] for text in written.texts]), np.ones(len(written))


@metric("fcr")
class FeatureCoverageRatio(TextShare):
    """Share of all features that any text names."""

    def rows(self, written: Written) -> tuple[Floats, Floats]:
        """Return shares of different features, and the vocabulary in equal parts."""
        size = len(written)
        vocabulary = int(written.policy.get(VOCABULARY, "0"))
        if not vocabulary:
            raise GraphRecError("fcr", "names that texts may name", "none", "`entities:`")
        return _once(_features(written)), np.full(size, vocabulary / size)


@metric("div")
class FeatureOverlap:
    """DIV: mean number of features that two texts share; *lower* is more diverse (Li et al., 2020).

    ``2 / (N (N − 1)) Σ_{i<j} |F_i ∩ F_j|``; in a resample no text is a pair with itself.
    """

    of: ClassVar[str] = "Written"

    def values(self, written: Written) -> Floats:
        """Return that of each user's texts, NaN for fewer than two: ``[U]``."""
        named, sizes, texts = self._parts(written)
        shared = (named.multiply(named).sum(axis=1) - sizes) / 2
        pairs = texts * (texts - 1) / 2
        return np.where(pairs > 0, shared / np.where(pairs > 0, pairs, 1), np.nan)

    def over(self, written: Written, counts: Floats) -> Floats:
        """Return its values over resampled users: ``[R, U]`` to ``[R]``."""
        named, sizes, texts = self._parts(written)
        shared = np.concatenate(
            [((named.T @ part.T) ** 2).sum(axis=0) for part in _blocks(counts)]
        ) - (counts**2 @ sizes)
        pairs = (counts @ texts) ** 2 - counts**2 @ texts
        return shared / np.where(pairs > 0, pairs, 1)

    def _parts(self, written: Written) -> tuple[csr_array, Floats, Floats]:
        """Return how many texts of each user name each feature, features and texts by user."""
        table = _counted(written, _features(written))
        return table, np.asarray(table.sum(axis=1)), written.per_user(np.ones(len(written)))


@metric("entr")
class Entropy:
    """Mean entropy in nats of the distributions of 1-, 2- and 3-grams (PRAG)."""

    of: ClassVar[str] = "Written"

    def values(self, written: Written) -> Floats:
        """Return that of each user's texts: ``[U]``."""
        return self.over(written, np.eye(len(written.users)))

    def over(self, written: Written, counts: Floats) -> Floats:
        """Return its values over resampled users: ``[R, U]`` to ``[R]``."""
        total = np.zeros(len(counts))
        for n in (1, 2, 3):
            grams = [list(ngrams(text, n).elements()) for text in written.texts]
            table = _counted(written, grams).T  # [G, U]
            if table.shape[0]:
                total += np.concatenate([_entropies(table @ part.T) for part in _blocks(counts)])
        return total / 3


def _different(written: Written, n: int) -> Floats:
    grams = [list(ngrams(text, n).elements()) for text in written.texts]
    return _kept(written, ("different", n), lambda: _once(grams))


def _once(named: Sequence[Sequence[Hashable]]) -> Floats:
    """Return the sum of 1/m over the entries of each row; m is how often one occurs: ``[n]``."""
    count = Counter(each for row in named for each in row)
    return np.array([sum(1 / count[each] for each in row) for row in named], np.float64)


def _grams(written: Written, n: int) -> Floats:
    return np.array([max(len(text) - n + 1, 0) for text in written.texts], np.float64)


def _features(written: Written) -> list[list[str]]:
    """Return the different features of each text."""
    return [sorted(set(names)) for names in written.table["features"]]


def _counted(written: Written, named: Iterable[Sequence[str | Gram]]) -> csr_array:
    """Return how often each user's texts have each entry, entries in order of appearance."""
    column: dict[str | Gram, int] = {}
    rows, columns = list[int](), list[int]()
    for user, entries in zip(written.user.tolist(), named, strict=True):
        for entry in entries:
            rows.append(user)
            columns.append(column.setdefault(entry, len(column)))
    shape = len(written.users), len(column)
    return csr_array((np.ones(len(rows)), (rows, columns)), shape=shape)


def _blocks(counts: Floats) -> list[Floats]:
    return np.split(counts, range(BLOCK, len(counts), BLOCK))


def _entropies(counts: Floats) -> Floats:
    """Return the entropy of each column of counts: ``[G, r]`` to ``[r]``."""
    total = counts.sum(axis=0)
    share = counts / np.where(total > 0, total, 1)
    entropy: Floats = -(share * np.log(np.where(share > 0, share, 1))).sum(axis=0)
    return entropy

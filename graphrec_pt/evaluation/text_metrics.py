"""Metrics of written texts: BLEU, ROUGE, perplexity, named items, grounded facts.

Most are means over texts; all weigh users by counts in ``over``, which the bootstrap over users
needs.
"""

from abc import ABC, abstractmethod
from typing import Annotated, ClassVar

import numpy as np
import polars as pl
from pydantic import Field

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.core.memo import Memo
from graphrec_pt.evaluation.metric import metric
from graphrec_pt.evaluation.ranks import Floats
from graphrec_pt.evaluation.text_scores import (
    BleuCounts,
    Text,
    bleu_counts,
    bleu_of_counts,
    rouge_l,
    rouge_n,
    sentence_bleu,
)
from graphrec_pt.evaluation.written import Written

Order = Annotated[int, Field(ge=1, le=8)]
BLOCK = 64
"""Resamples whose n-grams are counted at once."""
_scores: Memo[Floats] = Memo()  # of an outcome, by score


class TextShare(ABC):
    """A metric that is one sum over texts divided by another: ``Σ a / Σ b``."""

    of: ClassVar[str] = "Written"

    @abstractmethod
    def rows(self, written: Written) -> tuple[Floats, Floats]:
        """Return a and b of each text: ``[n]`` both."""

    def last(self, ratio: Floats) -> Floats:
        """Return the metric of ``Σ a / Σ b``."""
        return ratio

    def values(self, written: Written) -> Floats:
        """Return that of each user's texts, NaN for a user without any that counts: ``[U]``."""
        above, below = (written.per_user(each) for each in self.rows(written))
        return self.last(np.where(below > 0, above / np.where(below > 0, below, 1), np.nan))

    def over(self, written: Written, counts: Floats) -> Floats:
        """Return its values over resampled users: ``[R, U]`` to ``[R]``."""
        above, below = (counts @ written.per_user(each) for each in self.rows(written))
        return self.last(above / np.where(below > 0, below, 1))


class OfPairs(TextShare):
    """The mean of a score over texts that have a reference."""

    @abstractmethod
    def score(self, text: Text, reference: Text) -> float:
        """Return the score of one text."""

    def rows(self, written: Written) -> tuple[Floats, Floats]:
        """Return the score of each text that has a reference, and 1."""
        pairs = zip(written.texts, written.references, written.compared, strict=True)
        scores = _scores(
            written,
            (type(self).__name__, *vars(self).items()),
            lambda: np.array([self.score(a, b) if there else 0.0 for a, b, there in pairs]),
        )
        return scores, written.compared


@metric("bleu")
class Bleu:
    """BLEU of the whole corpus with orders 1 to `k`, without smoothing (PEPLER, PETER, P5).

    Args:
        k: Highest length of the n-grams.
    """

    of: ClassVar[str] = "Written"
    k: Order

    def values(self, written: Written) -> Floats:
        """Return the BLEU of each user's texts: ``[U]``."""
        return bleu_of_counts(self._split(written.per_user(self._counts(written))))

    def over(self, written: Written, counts: Floats) -> Floats:
        """Return its values over resampled users: ``[R, U]`` to ``[R]``."""
        return bleu_of_counts(self._split(counts @ written.per_user(self._counts(written))))

    def _counts(self, written: Written) -> Floats:
        def made() -> Floats:
            counts = bleu_counts(written.texts, written.references, self.k)
            rows: Floats = np.column_stack(counts) * written.compared[:, None]
            return rows

        return _scores(written, ("bleu", self.k), made)  # [n, 2k + 2]

    def _split(self, rows: Floats) -> BleuCounts:
        k = self.k
        return BleuCounts(rows[:, :k], rows[:, k : 2 * k], rows[:, 2 * k], rows[:, 2 * k + 1])


@metric("bleu_single")
class BleuSingle(OfPairs):
    """Mean BLEU of single texts with the precision of order `k` alone (KGSF, UniCRS).

    Args:
        k: Length of the n-grams.
    """

    k: Order

    def score(self, text: Text, reference: Text) -> float:
        """Return the score of one text."""
        return sentence_bleu(text, reference, self.k, "single")


@metric("bleu_smoothed")
class BleuSmoothed(OfPairs):
    """Mean BLEU of single texts with orders 1 to `k`, smoothed (MESE).

    Args:
        k: Highest length of the n-grams.
    """

    k: Order

    def score(self, text: Text, reference: Text) -> float:
        """Return the score of one text."""
        return sentence_bleu(text, reference, self.k, "smoothed")


@metric("rouge")
class Rouge(OfPairs):
    """Mean ROUGE-k: F1 of matching k-grams (Lin, 2004).

    Args:
        k: Length of the n-grams.
    """

    k: Order

    def score(self, text: Text, reference: Text) -> float:
        """Return the score of one text."""
        return rouge_n(text, reference, self.k)


@metric("rouge_sets")
class RougeOfSets(OfPairs):
    """Mean ROUGE-k over *different* k-grams, as in the code that PEPLER and P5 use.

    Args:
        k: Length of the n-grams.
    """

    k: Order

    def score(self, text: Text, reference: Text) -> float:
        """Return the score of one text."""
        return rouge_n(text, reference, self.k, sets=True)


@metric("rouge_l")
class RougeL(OfPairs):
    """Mean ROUGE-L: F1 of the longest common subsequence (Lin, 2004)."""

    def score(self, text: Text, reference: Text) -> float:
        """Return the score of one text."""
        return rouge_l(text, reference)


@metric("rouge_l_ratio")
class RougeLRatio(OfPairs):
    """Mean ROUGE-L with ``β = P / R``, as in the code that PEPLER and P5 use."""

    def score(self, text: Text, reference: Text) -> float:
        """Return the score of one text."""
        return rouge_l(text, reference, beta="ratio")


@metric("fmr")
class FeatureMatchingRatio(TextShare):
    """Share of texts that name a feature of their reference, among those whose reference has one.

    Features are the names of the graph: the node types that the task looks for.
    """

    def rows(self, written: Written) -> tuple[Floats, Floats]:
        """Return 1 for a match, and 1 for a reference with features."""
        pairs = written.table.select("features", "gold").iter_rows()
        hits = np.array([float(bool({*named} & {*gold})) for named, gold in pairs])
        return hits, (written.table["gold"].list.len() > 0).cast(pl.Float64).to_numpy()


@metric("ppl")
class Perplexity(TextShare):
    """Perplexity of the references per token: ``exp(Σ nll / Σ tokens)``.

    Tokens are those of the system's tokenizer, so it compares only systems with the same one.
    """

    needs: ClassVar[str] = "nll"

    def rows(self, written: Written) -> tuple[Floats, Floats]:
        """Return the negative log-likelihood and the tokens of each reference."""
        return _likelihoods(written), written.table["tokens"].fill_null(0).cast(float).to_numpy()

    def last(self, ratio: Floats) -> Floats:
        """Return its exponential."""
        return np.exp(ratio)


@metric("ppl_byte")
class PerplexityPerByte(TextShare):
    """Perplexity of the references per byte of UTF-8, which compares between tokenizers.

    A system that reads the first tokens of a long reference only is measured on the bytes of all.
    """

    needs: ClassVar[str] = "nll"

    def rows(self, written: Written) -> tuple[Floats, Floats]:
        """Return the negative log-likelihood and the bytes of each reference."""
        bytes_of = written.table["reference"].str.len_bytes().fill_null(0).cast(float)
        known = written.table["nll"].is_not_null().cast(float)
        return _likelihoods(written), (bytes_of * known).to_numpy()

    def last(self, ratio: Floats) -> Floats:
        """Return its exponential."""
        return np.exp(ratio)


@metric("item_ratio")
class ItemRatio(TextShare):
    """Items that texts name, per text that is not empty; may exceed 1 (RecInDial, UniCRS)."""

    def rows(self, written: Written) -> tuple[Floats, Floats]:
        """Return the number of items of each text, and 1 for a text that is not empty."""
        return written.table["items"].cast(pl.Float64).to_numpy(), filled(written)


@metric("item_agreement")
class ItemAgreement(TextShare):
    """Share of texts that name an item among those whose reference names one (MESE)."""

    def rows(self, written: Written) -> tuple[Floats, Floats]:
        """Return 1 for a text with an item, and 1 for a reference with one."""
        text, gold = (
            (written.table[name] > 0).cast(pl.Float64).to_numpy()
            for name in ("items", "gold_items")
        )
        return text * gold, gold


@metric("grounded")
class GroundedShare(TextShare):
    """Share of the facts that texts state which the history graph has.

    :class:`~graphrec_pt.evaluation.facts.Facts` says what a fact is. It is 0 where no text states
    any: see ``facts``.
    """

    def rows(self, written: Written) -> tuple[Floats, Floats]:
        """Return the grounded facts and the facts of each text."""
        grounded, stated = (
            written.table[name].cast(pl.Float64).to_numpy() for name in ("grounded", "stated")
        )
        return grounded, stated


@metric("facts")
class FactsPerText(TextShare):
    """Facts that a text states, on average; a grounded share of few facts says little."""

    def rows(self, written: Written) -> tuple[Floats, Floats]:
        """Return the facts of each text, and 1."""
        return written.table["stated"].cast(pl.Float64).to_numpy(), np.ones(len(written))


def filled(written: Written) -> Floats:
    """Return 1 for texts that are not empty, else 0: ``[n]``."""
    return np.array([bool(text) for text in written.texts], np.float64)


def _likelihoods(written: Written) -> Floats:
    if written.table["nll"].is_null().all():
        raise GraphRecError("ppl", "a system with likelihoods", "one that only writes")
    return written.table["nll"].fill_null(0).to_numpy()

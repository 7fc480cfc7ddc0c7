"""Metrics of the responses in a dialogue: those of written texts, a response for each turn."""

from typing import Any, ClassVar

import polars as pl

from graphrec_pt.core.memo import Memo
from graphrec_pt.evaluation.conversations import Conversations
from graphrec_pt.evaluation.metric import Metric, metric
from graphrec_pt.evaluation.ranks import Floats
from graphrec_pt.evaluation.text_metrics import Order
from graphrec_pt.evaluation.written import Written, written_table

_texts: Memo[Written] = Memo()  # of an outcome


def texts_of(outcome: Conversations) -> Written:
    """Return the response of each turn beside the true one; dialogues are what is resampled."""

    def made() -> Written:
        none = pl.lit([], pl.List(pl.String))
        rows = outcome.table.filter(pl.Series(outcome.first)).select(
            pl.col("dialogue").alias("user"),
            "item",
            "reference",
            pl.col("response").fill_null("").alias("text"),
            features=none,
            gold=none,
            items=pl.col("items_in_response"),
            gold_items=pl.lit(0),
            stated=pl.lit(0),
            grounded=pl.lit(0),
        )
        return Written(written_table(outcome.table["split"][0], rows, None), outcome.policy)

    return _texts(outcome, "responses", made)


class OfResponses:
    """A metric of written texts, measured on responses."""

    of: ClassVar[str] = "Conversations"
    needs: ClassVar[str] = "reference"
    measure: ClassVar[str]
    """Name of the metric of written texts."""

    def values(self, outcome: Conversations) -> Floats:
        """Return that of each dialogue: ``[U]``."""
        return self._metric().values(texts_of(outcome))

    def over(self, outcome: Conversations, counts: Floats) -> Floats:
        """Return its values when dialogues are counted so often: ``[R, U]`` to ``[R]``."""
        chosen: Any = self._metric()
        values: Floats = chosen.over(texts_of(outcome), counts)
        return values

    def _metric(self) -> Metric:
        return metric.build({"name": self.measure, **vars(self)})


@metric("response_bleu")
class ResponseBleu(OfResponses):
    """BLEU of all responses with orders 1 to `k`, without smoothing.

    Args:
        k: n, the order of the n-grams.
    """

    measure: ClassVar[str] = "bleu"
    k: Order


@metric("response_bleu_single")
class ResponseBleuSingle(OfResponses):
    """Mean BLEU of single responses with order `k` alone, as KGSF and UniCRS report it.

    Args:
        k: n, the order of the n-grams.
    """

    measure: ClassVar[str] = "bleu_single"
    k: Order


@metric("response_rouge_l")
class ResponseRougeL(OfResponses):
    """Mean ROUGE-L of single responses."""

    measure: ClassVar[str] = "rouge_l"


@metric("response_distinct")
class ResponseDistinct(OfResponses):
    """Different n-grams of all responses by n-grams (Li et al., NAACL 2016), n = `k`.

    Args:
        k: n, the order of the n-grams.
    """

    needs: ClassVar[str] = "response"
    measure: ClassVar[str] = "distinct"
    k: Order


@metric("response_distinct_sentences")
class ResponseDistinctBySentence(OfResponses):
    """Different n-grams of all responses by responses (KGSF, UniCRS); may exceed 1, n = `k`.

    Args:
        k: n, the order of the n-grams.
    """

    needs: ClassVar[str] = "response"
    measure: ClassVar[str] = "distinct_sentences"
    k: Order

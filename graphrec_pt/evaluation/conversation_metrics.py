"""Metrics of recommendation in dialogue, each over all instances and over novel ones.

An instance is a turn and one item that it recommends: two items of one turn are two instances, as
papers on conversational recommendation count. A *novel* instance recommends an item that the
dialogue had not named before; the others can be answered by repeating.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
from pydantic import Field

from graphrec_pt.evaluation.conversations import Bools, Conversations
from graphrec_pt.evaluation.metric import metric
from graphrec_pt.evaluation.ranks import Floats

Cutoff = Annotated[int, Field(ge=1)]


@dataclass(frozen=True)
class OfInstances(ABC):
    """A mean over instances; the base of these metrics."""

    of: ClassVar[str] = "Conversations"
    novel: ClassVar[bool] = False

    @abstractmethod
    def value(self, outcome: Conversations) -> Floats:
        """Return the value of each instance: ``[n]``."""

    def counted(self, outcome: Conversations) -> Bools:
        """Return which instances count: ``[n]``."""
        return outcome.novel if self.novel else np.ones(len(outcome), np.bool_)

    def values(self, outcome: Conversations) -> Floats:
        """Return the mean of each dialogue, NaN for those without such instances: ``[U]``."""
        kept = self.counted(outcome)
        total, count = outcome.sums(self.value(outcome) * kept), outcome.sums(kept)
        return np.where(count > 0, total / np.maximum(count, 1), np.nan)

    def over(self, outcome: Conversations, counts: Floats) -> Floats:
        """Return the mean over instances when dialogues are counted so often: ``[R]``."""
        kept = self.counted(outcome)
        total, count = outcome.sums(self.value(outcome) * kept), outcome.sums(kept)
        mean: Floats = (counts @ total) / np.maximum(counts @ count, 1)
        return mean


@metric("recall_all")
class RecallAll(OfInstances):
    """Share of all instances whose item is among the first `k`.

    Args:
        k: Places of the list that count.
    """

    k: Cutoff

    def value(self, outcome: Conversations) -> Floats:
        """Return 0 or 1: ``[n]``."""
        return (outcome.rank <= self.k).astype(np.float64)


@metric("recall_novel")
class RecallNovel(RecallAll):
    """Share of the novel instances whose item is among the first `k`."""

    novel: ClassVar[bool] = True


@metric("mrr_all")
class MRRAll(OfInstances):
    """Mean of ``1 / rank`` over all instances, 0 beyond `k`.

    Args:
        k: Places of the list that count.
    """

    k: Cutoff

    def value(self, outcome: Conversations) -> Floats:
        """Return reciprocal ranks: ``[n]``."""
        return (outcome.rank <= self.k) / outcome.rank


@metric("mrr_novel")
class MRRNovel(MRRAll):
    """Mean of ``1 / rank`` over the novel instances, 0 beyond `k`."""

    novel: ClassVar[bool] = True


@metric("ndcg_all")
class NDCGAll(OfInstances):
    """Mean of ``1 / log₂(rank + 1)`` over all instances, 0 beyond `k`: one item is relevant.

    Args:
        k: Places of the list that count.
    """

    k: Cutoff

    def value(self, outcome: Conversations) -> Floats:
        """Return discounted gains: ``[n]``."""
        return (outcome.rank <= self.k) / np.log2(outcome.rank + 1)


@metric("ndcg_novel")
class NDCGNovel(NDCGAll):
    """Mean of ``1 / log₂(rank + 1)`` over the novel instances, 0 beyond `k`."""

    novel: ClassVar[bool] = True


@metric("text_recall_all")
class TextRecallAll(OfInstances):
    """Share of all instances whose item stands in the response (RecInDial's recall@1)."""

    def value(self, outcome: Conversations) -> Floats:
        """Return 0 or 1: ``[n]``."""
        return outcome.table["in_response"].to_numpy().astype(np.float64)


@metric("text_recall_novel")
class TextRecallNovel(TextRecallAll):
    """Share of the novel instances whose item stands in the response."""

    novel: ClassVar[bool] = True


@metric("items_per_response")
class ItemsPerResponse(OfInstances):
    """Different items in a response: the item ratio of RecInDial (AACL 2022); may exceed 1."""

    def value(self, outcome: Conversations) -> Floats:
        """Return numbers of items: ``[n]``."""
        return outcome.table["items_in_response"].to_numpy().astype(np.float64)

    def counted(self, outcome: Conversations) -> Bools:
        """Return one instance of each turn: ``[n]``."""
        return outcome.first

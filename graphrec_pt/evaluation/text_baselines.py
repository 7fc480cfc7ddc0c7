"""Baselines that write by repeating training texts; on small data they are hard to beat.

All of them know an item by its training texts. An item without any gets the text of all items.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import sqrt

import torch
from pydantic import Field
from torch import Tensor

from graphrec_pt.core.key import Key
from graphrec_pt.evaluation.text_baseline import KnownTexts, text_baseline
from graphrec_pt.evaluation.text_scores import rouge_n, tokens_of
from graphrec_pt.kernels.philox import below, philox


def by_node(nodes: Sequence[int]) -> dict[int, list[int]]:
    """Return the rows of each node, in their order."""
    rows: dict[int, list[int]] = {}
    for row, node in enumerate(nodes):
        rows.setdefault(node, []).append(row)
    return rows


def commonest(texts: Sequence[str]) -> str:
    """Return the most frequent text; of equally frequent ones the first; "" for none."""
    return Counter(texts).most_common(1)[0][0] if texts else ""


def by_likeness(texts: Sequence[str]) -> list[str]:
    """Return texts ordered by their mean ROUGE-1 to the others, the highest first."""
    tokens = [tokens_of(text) for text in texts]
    likeness = [0.0] * len(texts)
    for one in range(len(texts)):
        for other in range(one):
            score = rouge_n(tokens[one], tokens[other], 1)
            likeness[one] += score
            likeness[other] += score
    order = sorted(range(len(texts)), key=likeness.__getitem__, reverse=True)
    return [texts[place] for place in order]


@dataclass(frozen=True)
class OfTargets:
    """One text for each target.

    Args:
        text: Target → its text.
        other: The text of targets that have none.
    """

    text: Mapping[int, str]
    other: str

    def write(self, source: Tensor, target: Tensor, edge: Tensor) -> list[str]:
        """Return the text of each target."""
        return [self.text.get(each, self.other) for each in target.tolist()]


@text_baseline("commonest_text")
class CommonestText:
    """The commonest training text of the item."""

    def fit(self, known: KnownTexts) -> OfTargets:
        """Count the texts."""
        return _chosen(known, commonest, commonest(known.text))


@text_baseline("constant_text")
class ConstantText:
    """One text for every pair: the common training text that is most like all others, by ROUGE-1.

    A model that ignores user and item ends here, and texts of a few words leave little above it.

    Args:
        most: Different texts that are tried, the commonest ones.
    """

    most: int = Field(32, ge=1)

    def fit(self, known: KnownTexts) -> OfTargets:
        """Compare the commonest texts with all."""
        counts = Counter(known.text)
        tried = [text for text, _ in counts.most_common(self.most)]
        tokens = {text: tokens_of(text) for text in counts}

        def likeness(text: str) -> float:
            return sum(n * rouge_n(tokens[text], tokens[each], 1) for each, n in counts.items())

        return OfTargets({}, max(tried, key=likeness) if tried else "")


@text_baseline("medoid_text")
class MedoidText:
    """The training text of the item that is most like its other training texts, by ROUGE-1.

    Args:
        most: Texts of an item that are compared, the latest ones.
    """

    most: int = Field(64, ge=1)

    def fit(self, known: KnownTexts) -> OfTargets:
        """Compare the texts of each item with one another."""
        return _chosen(
            known, lambda texts: by_likeness(texts[-self.most :])[0], commonest(known.text)
        )


@dataclass(frozen=True, eq=False)
class Drawn:
    """A training text of the target, drawn at random.

    Args:
        known: The texts.
        rows: Target → rows of its texts.
        key: Names the draws, which also depend on the edge.
    """

    known: KnownTexts
    rows: Mapping[int, Sequence[int]]
    key: Key

    def write(self, source: Tensor, target: Tensor, edge: Tensor) -> list[str]:
        """Return one training text for each pair."""
        bits = philox(self.key, edge, torch.zeros_like(edge))[:, :1]
        everything = range(len(self.known.text))
        written = []
        for row, each in enumerate(target.tolist()):
            rows = self.rows.get(each, everything)
            at = int(below(bits[row], len(rows))[0]) if rows else -1
            written.append(self.known.text[rows[at]] if rows else "")
        return written


@text_baseline("random_text")
class RandomText:
    """A training text of the item, drawn uniformly.

    Args:
        seed: Of the draws.
    """

    seed: int = Field(0, ge=0)

    def fit(self, known: KnownTexts) -> Drawn:
        """Sort the texts by target."""
        return Drawn(known, by_node(known.target), Key(self.seed).named("evaluation.random_text"))


@dataclass(frozen=True, eq=False)
class OfNeighbors:
    """The training text about the target whose author is most like the source.

    Args:
        known: The texts.
        rows: Target → rows of its texts.
        other: The text of targets that have none.
        items: Source → targets of its training edges, filled as sources are looked up.
    """

    known: KnownTexts
    rows: Mapping[int, Sequence[int]]
    other: str
    items: dict[int, frozenset[int]] = field(default_factory=dict)

    def write(self, source: Tensor, target: Tensor, edge: Tensor) -> list[str]:
        """Return the text of the nearest author for each pair; the latest of equally near ones."""
        written = []
        for user, item in zip(source.tolist(), target.tolist(), strict=True):
            rows = [row for row in self.rows.get(item, ()) if self.known.source[row] != user]
            nearest = max(rows, key=lambda row: (self._cosine(user, row), row), default=None)
            written.append(self.other if nearest is None else self.known.text[nearest])
        return written

    def _cosine(self, user: int, row: int) -> float:
        ours, theirs = self._of(user), self._of(self.known.source[row])
        common = len(ours & theirs)
        return common / sqrt(len(ours) * len(theirs)) if common else 0.0

    def _of(self, user: int) -> frozenset[int]:
        if user not in self.items:
            items = self.known.graph.neighbors(user, self.known.relation)
            self.items[user] = frozenset(items.tolist())
        return self.items[user]


@text_baseline("neighbor_text")
class NeighborText:
    """The training text about the item by the user whose training items are most alike (cosine)."""

    def fit(self, known: KnownTexts) -> OfNeighbors:
        """Sort the texts by target."""
        return OfNeighbors(known, by_node(known.target), commonest(known.text))


def _chosen(known: KnownTexts, choose: Callable[[list[str]], str], other: str) -> OfTargets:
    texts = {
        target: choose([known.text[row] for row in rows])
        for target, rows in by_node(known.target).items()
    }
    return OfTargets(texts, other)

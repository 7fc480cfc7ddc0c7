"""The base of objectives that learn which of the items shown to a user were clicked."""

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.graph.graph import Graph
from graphrec_pt.graph.spec import GraphSpec
from graphrec_pt.models.model import Model
from graphrec_pt.models.view import Encoded, View
from graphrec_pt.objectives.objective import Examples, Objective, TrainingExamples
from graphrec_pt.objectives.readout import Readout
from graphrec_pt.sampling.sampler import Sets
from graphrec_pt.sampling.shown import Shown, interaction_with_lists, is_clicked, shown_items
from graphrec_pt.tokens.tokens import Tokens

WORDS = 4
"""Random words of one draw."""


class Asked(NamedTuple):
    """Sequences of lists, and the items of each that are to be scored.

    Args:
        graph: The graph that may be seen.
        tokens: L sequences, as linearized.
        lists: int64 ``[L]`` global ids.
        length: int64 ``[L]``, items of each list, end to end.
        item: int64 ``[n]`` global ids of items that the list shows.
    """

    graph: Graph
    tokens: Tokens
    lists: Tensor
    length: Tensor
    item: Tensor


@dataclass(frozen=True)
class ShownReadout(Readout):
    """A score for each item that a list shows; scores of one list can be compared.

    Args:
        shows: Relation from lists to items.
        sees: What the model encodes, and tensors that the scores need.
        scores: From encoded views, those tensors, the model and the head to ``[n]``.
    """

    shows: str
    sees: Callable[[Asked], tuple[tuple[View, ...], dict[str, Tensor]]]
    scores: Callable[[Sequence[Encoded], Mapping[str, Tensor], Model, Any], Tensor]


@dataclass(frozen=True)
class ShownChoice(Objective):
    """Choose the clicked item among items that the same list shows.

    Roots are lists (impressions, sittings). Each draws `clicked` of its clicked items; each of
    these competes with `negatives` items that the list shows and that were not clicked, all
    different while there are enough. A list of one label teaches nothing.

    Args:
        shows: Relation from lists to items.
        relation: Interaction relation whose events are lists; the first by default.
        above: Weight from which an interaction is a click; every interaction is one for None.
        clicked: Clicked items of a list at most.
        negatives: K, items that were shown and not clicked beside each.
        form: ``softmax``: ``−log(e^{s⁺} / Σ_j e^{s_j})`` over the 1 + K; ``bce``: the mean binary
            cross-entropy of them.
    """

    shows: str = "shows"
    relation: str | None = None
    above: float | None = None
    clicked: int = Field(1, ge=1)
    negatives: int = Field(4, ge=1)
    form: Literal["softmax", "bce"] = "softmax"

    @abstractmethod
    def sees(self, asked: Asked) -> tuple[tuple[View, ...], dict[str, Tensor]]:
        """Return what the model encodes to score items of lists, and tensors that it needs.

        Args:
            asked: Lists with at least one item each.
        """

    @abstractmethod
    def scores(
        self, encoded: Sequence[Encoded], given: Mapping[str, Tensor], model: Model, head: Any
    ) -> Tensor:
        """Return the score of every item: ``[n]``.

        Args:
            encoded: Of the views of :meth:`sees`.
            given: Its tensors.
            model: For the vectors of nodes.
            head: The result of :meth:`head`, filled.
        """

    def check(self, spec: GraphSpec) -> None:
        """Raise for a relation that the graph does not have."""
        spec.relation_index(self.shows)

    def corrupt(self, examples: Examples) -> TrainingExamples:
        """Return the views and the drawn items, each clicked one before its K others."""
        graph, lists = examples.graph, examples.roots
        if isinstance(lists, Sets) or lists.ndim != 1 or len(examples.tokens) != len(lists):
            hint = "the sampler impression, and a linearizer with one sequence per root"
            raise GraphRecError("choice", "roots that are lists, a sequence each", "others", hint)
        if not len(lists):
            return TrainingExamples(())
        shown = shown_items(graph, lists, self.shows, examples.exclude)
        kind = graph.schema.relation(self.shows).source
        relation = interaction_with_lists(graph.schema, self.relation, kind)
        label = is_clicked(graph, relation, lists[shown.row], shown.item, self.above)
        row, item = self._drawn(shown, label, examples)  # [n], [n, 1 + K]
        if not len(row):
            return TrainingExamples(())
        count = torch.bincount(row, minlength=len(lists)) * item.shape[1]
        some = count.nonzero().squeeze(1)
        tokens = examples.tokens.select(some)
        asked = Asked(graph, tokens, lists[some], count[some], item.flatten())
        views, given = self.sees(asked)
        return TrainingExamples(views, given, len(row))

    def loss(
        self, encoded: Sequence[Encoded], corrupted: TrainingExamples, model: Model, head: nn.Module
    ) -> Tensor:
        """Return the mean over the clicked items that were drawn."""
        scores = self.scores(encoded, corrupted.targets, model, head)
        scores = scores.view(-1, 1 + self.negatives)
        if self.form == "softmax":
            return -scores.log_softmax(1)[:, 0].mean()
        label = torch.zeros_like(scores)
        label[:, 0] = 1
        return binary_cross_entropy_with_logits(scores, label)

    def readout(self) -> ShownReadout:
        """Return the scores of what a list shows."""
        return ShownReadout(self.shows, self.sees, self.scores)

    def _drawn(self, shown: Shown, label: Tensor, examples: Examples) -> tuple[Tensor, Tensor]:
        """Return clicked items, and others of the same list beside each.

        Returns:
            int64 ``[n]`` lists, ascending, and int64 ``[n, 1 + K]`` items.
        """
        size = len(examples.tokens)
        count = torch.bincount(shown.row, minlength=size)
        rank = torch.arange(len(shown.row)) - (count.cumsum(0) - count)[shown.row]
        times = -(-int(count.max()) // WORDS) if len(shown.row) else 1
        bits = examples.draws.named("shown").of_sequences(times).flatten(1)  # [B, 4 · times]
        order = torch.argsort(bits[shown.row, rank], stable=True)
        order = order[torch.argsort(shown.row[order] * 2 + ~label[order], stable=True)]
        row, item, label = shown.row[order], shown.item[order], label[order]
        ones = torch.bincount(row[label], minlength=size)
        zeros = count - ones
        first = count.cumsum(0) - count
        taken = torch.where(zeros > 0, ones.clamp(max=self.clicked), 0)
        rows = torch.arange(size).repeat_interleave(taken)
        number = torch.arange(len(rows)) - (taken.cumsum(0) - taken)[rows]
        place = number.unsqueeze(1) * self.negatives + torch.arange(self.negatives)
        place = place % zeros[rows].clamp(min=1).unsqueeze(1)
        others = item[(first + ones)[rows].unsqueeze(1) + place]  # [n, K]
        return rows, torch.cat([item[first[rows] + number].unsqueeze(1), others], dim=1)

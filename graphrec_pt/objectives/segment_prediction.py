"""Segment prediction: tell a history's hidden segment from a segment of another history."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import softplus

from graphrec_pt.graph.spec import GraphSpec
from graphrec_pt.models.heads import Bilinear
from graphrec_pt.models.model import Model
from graphrec_pt.models.view import Encoded, View
from graphrec_pt.objectives.masking import Masking, events, hide, with_text
from graphrec_pt.objectives.objective import (
    Examples,
    Objective,
    RequiredFields,
    TrainingExamples,
    objective,
)
from graphrec_pt.objectives.sequence_rng import one_of
from graphrec_pt.tokens.kind import Kind
from graphrec_pt.tokens.tokens import Tokens


@objective("segment_prediction")
class SegmentPrediction(Objective):
    """Segment prediction (SP) of S3-Rec (Zhou et al., CIKM 2020).

    ``L = −log σ(cᵀ W s − cᵀ W s')``: c is read off the history with a segment hidden, s off the
    segment alone at the places where it stood, s' off a segment as long from another history. Of
    n events up to n/2 are hidden, any length as likely. The paper fills what is not the segment
    with MASK; these carry nothing but their number and are left out here. Its negatives come from
    whole histories, held-out items among them; here from the graph that may be seen.

    Args:
        pool: Read vectors off the ``"last"`` token, as the paper does, or the ``"mean"``.
    """

    pool: Literal["last", "mean"] = "last"

    @property
    def needs(self) -> RequiredFields:
        """Nodes with their hop, which marks the roots."""
        return RequiredFields(frozenset({Kind.NODE}), frozenset({"hop"}))

    def corrupt(self, examples: Examples) -> TrainingExamples:
        """Return the history without a segment, the segment, and a segment of another history."""
        graph, draws = examples.graph, examples.draws.named("segment_prediction")
        words = draws.of_sequences()[:, 0]  # [B, 4]
        rows, other = examples.others(words[:, 0], "segment_prediction")
        n, m = _count(examples.tokens, events(examples.tokens))[rows], _count(other, events(other))
        enough = (n >= 2) & (m >= 1)
        rows, n, m = rows[enough], n[enough], m[enough]
        tokens, other = examples.tokens.select(rows), other.select(enough.nonzero().squeeze(1))
        words = words[rows]
        length = 1 + one_of(words[:, 1], torch.minimum(n // 2, m))
        start = one_of(words[:, 2], n - length + 1)
        chosen = _segment(tokens, start, length)
        negative = _segment(other, one_of(words[:, 3], m - length + 1), length)
        hidden = hide(graph, tokens, chosen, draws.select(rows), Masking(everywhere=False))
        first = tokens.position[chosen][length.cumsum(0) - length]  # [B], where it stood
        views = hidden, _cut(tokens, chosen, first), _cut(other, negative, first)
        return TrainingExamples(tuple(map(View, views)), {}, len(rows))

    def head(self, spec: GraphSpec, width: int) -> Bilinear:
        """Return W."""
        return Bilinear(width)

    def loss(
        self, encoded: Sequence[Encoded], corrupted: TrainingExamples, model: Model, head: Bilinear
    ) -> Tensor:
        """Return the mean over histories."""
        context, true, false = (each.pooled(self.pool) for each in encoded)  # [B, D] each
        margin = head(context, true) - head(context, false)
        return softplus(-margin).sum() / max(corrupted.count, 1)


def _count(tokens: Tokens, event: Tensor) -> Tensor:
    """Return the events of each sequence: int64 ``[B]``."""
    return torch.bincount(tokens.sequence_of()[event], minlength=len(tokens))


def _segment(tokens: Tokens, start: Tensor, length: Tensor) -> Tensor:
    """Return the events start, …, start + length − 1 of each sequence: bool ``[T]``."""
    event, row = events(tokens), tokens.sequence_of()
    before = _count(tokens, event)
    number = event.long().cumsum(0) - 1 - (before.cumsum(0) - before)[row]
    return event & (number >= start[row]) & (number < (start + length)[row])


def _cut(tokens: Tokens, chosen: Tensor, first: Tensor) -> Tokens:
    """Return the chosen events alone, with their text, placed from `first` on."""
    cut = tokens.take(with_text(tokens, chosen).nonzero().squeeze(1))
    return replace(cut, position=first[cut.sequence_of()] + cut.places())

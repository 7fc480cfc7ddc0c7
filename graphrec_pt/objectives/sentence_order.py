"""Sentence order: whether two segments were swapped."""

from collections.abc import Sequence

from pydantic import Field
from torch import Tensor

from graphrec_pt.graph.outline import Outline
from graphrec_pt.models.heads import PairHead
from graphrec_pt.models.model import Model
from graphrec_pt.models.view import Encoded, View
from graphrec_pt.objectives.draws import unit
from graphrec_pt.objectives.objective import Corrupted, Examples, Needs, Objective, objective
from graphrec_pt.objectives.rearranging import BODY, Parts, reordered
from graphrec_pt.objectives.segment_pair import divisible, pair_loss
from graphrec_pt.tokens.kind import Kind


@objective("sentence_order")
class SentenceOrder(Objective):
    """Sentence order prediction (SOP) of ALBERT (Lan et al., ICLR 2020).

    ``L = −1/B Σ log p(in order | a, b)`` for the two segments of a sequence, which are swapped
    with probability p: those around its first SEP, or the halves of its events. Roots stay in
    front. Times, hops, slots and parents, which would tell the order, are made neutral in all
    sequences alike.

    Args:
        swapped: p.
    """

    swapped: float = Field(0.5, gt=0, lt=1)

    @property
    def needs(self) -> Needs:
        """Nodes with their hop, which tells the roots."""
        return Needs(frozenset({Kind.NODE}), frozenset({"hop"}))

    def check(self, outline: Outline) -> None:
        """Need nothing of a graph."""

    def corrupt(self, examples: Examples) -> Corrupted:
        """Return the sequences of two segments, some of them swapped."""
        every = Parts.of(examples.tokens)
        rows = divisible(examples.tokens, every.halves(examples.tokens))
        tokens = examples.tokens.select(rows)
        draws = examples.draws.named("sentence_order")
        swap = unit(draws.of_sequences()[rows, 0, 0]) < self.swapped  # [B]
        parts = Parts.of(tokens)
        half = parts.halves(tokens).clamp(min=0)
        rank = half.where(~swap[tokens.sequence_of()], 2 - half)
        seen, order = reordered(tokens, parts, rank)
        body, rank = parts.part[order] == BODY, rank[order]
        targets = {
            "first": (body & (rank == 0)).nonzero().squeeze(1),
            "second": (body & (rank == 2)).nonzero().squeeze(1),
            "label": ~swap,
        }
        return Corrupted((View(seen),), targets, len(rows))

    def head(self, outline: Outline, width: int) -> PairHead:
        """Return the head of pairs."""
        return PairHead(width)

    def loss(
        self, encoded: Sequence[Encoded], corrupted: Corrupted, model: Model, head: PairHead
    ) -> Tensor:
        """Return the mean over sequences."""
        return pair_loss(encoded, corrupted, head)

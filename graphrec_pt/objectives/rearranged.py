"""Rearranged sequences: whether the events of a history stand in their order."""

from collections.abc import Sequence

import torch
from pydantic import Field
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from graphrec_pt.graph.outline import Outline
from graphrec_pt.models.heads import FeatureHead
from graphrec_pt.models.model import Model
from graphrec_pt.models.view import Encoded, View
from graphrec_pt.objectives.draws import unit
from graphrec_pt.objectives.objective import Corrupted, Examples, Needs, Objective, objective
from graphrec_pt.objectives.rearranging import Parts, reordered
from graphrec_pt.tokens.kind import Kind


@objective("rearranged")
class Rearranged(Objective):
    """Rearranged sequence prediction (RSP) of RESETBERT4Rec (Zhao, SIGIR 2022), re-derived.

    ``L = 1/B Σ BCE(σ(f(mean h)), [the sequence was rearranged])``; with probability p all events
    of a sequence are put into a drawn order. Roots stay in front. Times, hops, slots and parents,
    which would tell the order, are made neutral in all sequences alike. A sequence whose ids are
    the same in the drawn order counts as not rearranged; one of a single event is left out.

    Args:
        rearranged: p.
    """

    rearranged: float = Field(0.5, gt=0, lt=1)

    @property
    def needs(self) -> Needs:
        """Nodes with their hop, which tells the roots."""
        return Needs(frozenset({Kind.NODE}), frozenset({"hop"}))

    def check(self, outline: Outline) -> None:
        """Need nothing of a graph."""

    def corrupt(self, examples: Examples) -> Corrupted:
        """Return the sequences, some of them rearranged."""
        draws = examples.draws.named("rearranged")
        every, bits = Parts.of(examples.tokens), draws.of_tokens(examples.tokens)[:, 0]
        rows = (every.count > 1).nonzero().squeeze(1)
        chance = unit(draws.of_sequences()[:, 0, 0]) < self.rearranged  # [B]
        row = examples.tokens.sequence_of()
        kept = (every.count > 1)[row]
        tokens = examples.tokens.select(rows)
        parts = Parts.of(tokens)
        # All tokens of a unit have the bits of its first one.
        leads = torch.ones_like(parts.unit, dtype=torch.bool)
        own = tokens.sequence_of()
        leads[1:] = (parts.unit[1:] != parts.unit[:-1]) | (own[1:] != own[:-1])
        drawn = bits[kept][leads.nonzero().squeeze(1)[leads.long().cumsum(0) - 1]]
        rank = torch.where(chance[rows][own], drawn, parts.unit)
        seen, _ = reordered(tokens, parts, rank)
        moved = torch.bincount(own[seen.id != tokens.id], minlength=len(rows)) > 0
        return Corrupted((View(seen),), {"label": moved}, len(rows))

    def head(self, outline: Outline, width: int) -> FeatureHead:
        """Return one logit."""
        return FeatureHead(width, 1)

    def loss(
        self, encoded: Sequence[Encoded], corrupted: Corrupted, model: Model, head: FeatureHead
    ) -> Tensor:
        """Return the mean over sequences."""
        logits = head(encoded[0].pooled()).squeeze(1)  # [B]
        label = corrupted.targets["label"].to(logits.dtype)
        return binary_cross_entropy_with_logits(logits, label)

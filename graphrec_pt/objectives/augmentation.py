"""Augmentations of a history: crop, mask, reorder, drop events, drop words."""

from dataclasses import replace
from typing import Literal, NamedTuple

import torch
from pydantic import Field
from torch import Tensor

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.graph.graph import Graph
from graphrec_pt.graph.schema import Strict
from graphrec_pt.objectives.masking import Masking, choose, events, hide, with_text
from graphrec_pt.objectives.sequence_rng import SequenceRNG, one_of, unit
from graphrec_pt.tokens.kind import Kind
from graphrec_pt.tokens.tokens import Tokens

Operation = Literal["crop", "mask", "reorder", "drop", "words"]


class Augmentation(Strict):
    """Augmentation of histories: each one gets one of several operations, drawn at random.

    ``crop`` keeps a stretch of events, ``mask`` hides some, ``reorder`` shuffles a stretch
    (CL4SRec, Xie et al., ICDE 2022, with these shares); ``drop`` leaves out some events, ``words``
    some of the words of every text (UniSRec, Hou et al., KDD 2022). Roots and special tokens stay,
    text goes with its node, and one event at least is left.

    Args:
        operations: The operations to draw from.
        chances: Weights of the operations, in any unit; equal by default.
        crop: Share of the events that are kept.
        mask: Share of the events that are hidden.
        reorder: Share of the events that are shuffled.
        drop: Share of the events that are left out.
        words: Share of the text tokens that are left out.
    """

    operations: tuple[Operation, ...] = Field(("crop", "mask", "reorder"), min_length=1)
    chances: tuple[float, ...] | None = None
    crop: float = Field(0.6, gt=0, le=1)
    mask: float = Field(0.3, gt=0, le=1)
    reorder: float = Field(0.6, gt=0, le=1)
    drop: float = Field(0.2, gt=0, lt=1)
    words: float = Field(0.15, gt=0, lt=1)

    def model_post_init(self, context: object) -> None:
        """Check the chances."""
        given = self.chances
        if given is not None and (len(given) != len(self.operations) or min(given) < 0):
            expected = f"{len(self.operations)} chances, none below 0"
            raise GraphRecError("augmentation", expected, list(given))
        if given is not None and not sum(given) > 0:
            raise GraphRecError("augmentation", "a chance above 0", list(given))

    def kinds(self) -> frozenset[Kind]:
        """Return the kinds of token that must be able to occur."""
        return frozenset({Kind.NODE, Kind.TEXT} if "words" in self.operations else {Kind.NODE})

    def apply(self, graph: Graph, tokens: Tokens, draws: SequenceRNG) -> Tokens:
        """Return another version of every history.

        Args:
            graph: The graph that may be seen, without held-out edges.
            tokens: B sequences.
            draws: Draws of the sequences, named for the purpose.
        """
        chosen = self._choice(draws)[tokens.sequence_of()]  # [T]
        history = _history(tokens, draws)
        kept = torch.ones_like(tokens.kind, dtype=torch.bool)
        order = torch.arange(len(kept), device=kept.device)
        hidden = torch.zeros_like(kept)
        left = {"crop": self._cropped, "drop": self._thinned, "words": self._worded}
        for number, name in enumerate(self.operations):
            mine = chosen == number
            if name == "mask":
                share = Masking(share=self.mask, everywhere=False)
                hidden |= mine & choose(tokens, history.event, draws.named("mask"), share)
            elif name == "reorder":
                order = torch.where(mine, self._reordered(tokens, history), order)
            else:
                kept &= ~mine | left[name](tokens, history)
        tokens = hide(graph, tokens, hidden, draws, Masking(share=1, everywhere=False))
        changed = tokens.take(order[kept[order]])
        return replace(changed, position=changed.places())  # counted anew, as in any history

    def _choice(self, draws: SequenceRNG) -> Tensor:
        """Return the operation of each sequence by its number: int64 ``[B]``."""
        chances = torch.tensor(self.chances or [1.0] * len(self.operations), dtype=torch.float64)
        upto = chances.cumsum(0) / chances.sum()
        at = unit(draws.named("operation").of_sequences()[:, 0, 0])
        return torch.searchsorted(upto, at, right=True).clamp(max=len(self.operations) - 1)

    def _cropped(self, tokens: Tokens, history: "_History") -> Tensor:
        """Return the tokens that cropping keeps: bool ``[T]``."""
        return ~history.owned | history.stretch(self.crop, 0)

    def _thinned(self, tokens: Tokens, history: "_History") -> Tensor:
        """Return the tokens that remain after events are dropped: bool ``[T]``."""
        out = choose(
            tokens,
            history.event,
            history.draws.named("drop"),
            Masking(share=self.drop, least=0, spare=1, everywhere=False),
        )
        return ~with_text(tokens, out)

    def _worded(self, tokens: Tokens, history: "_History") -> Tensor:
        """Return the tokens that remain after words are dropped: bool ``[T]``."""
        bits = history.draws.named("words").of_tokens(tokens)[:, 0]
        return (tokens.kind != Kind.TEXT) | (unit(bits) >= self.words)

    def _reordered(self, tokens: Tokens, history: "_History") -> Tensor:
        """Return tokens in another order, a stretch of events shuffled: int64 ``[T]``."""
        inside = history.stretch(self.reorder, 1)
        bits = history.draws.named("reorder").of_tokens(tokens)[:, 0]
        row, place = tokens.sequence_of(), torch.arange(len(inside), device=inside.device)
        event = (inside & history.event).nonzero().squeeze(1)
        # Events change places with one another, lowest bits first; text follows its event.
        shuffled = event[torch.argsort((row[event] << 32) | bits[event], stable=True)]
        goes = place.clone()
        goes[shuffled] = event
        anchor = torch.where(inside, goes[history.anchor], place)
        return place[torch.argsort(anchor, stable=True)]


class _History(NamedTuple):
    """The events of B sequences.

    Args:
        event: bool ``[T]``.
        owned: bool ``[T]``, events and their text.
        anchor: int64 ``[T]``, the event that a token belongs to; itself for other tokens.
        number: int64 ``[T]``, number of that event in its sequence, from 0.
        events: int64 ``[B]``, how many there are.
        row: int64 ``[T]``.
        words: int64 ``[B, 4]``, random bits that say where stretches lie.
        draws: Draws of the sequences.
    """

    event: Tensor
    owned: Tensor
    anchor: Tensor
    number: Tensor
    events: Tensor
    row: Tensor
    words: Tensor
    draws: SequenceRNG

    def stretch(self, share: float, which: int) -> Tensor:
        """Return consecutive events, a given share of each sequence: bool ``[T]``."""
        words = self.words[:, which]
        length = (self.events * share).floor().long().clamp(min=1)
        start = one_of(words, (self.events - length + 1).clamp(min=1))
        after = (start + length)[self.row]
        return self.owned & (self.number >= start[self.row]) & (self.number < after)


def _history(tokens: Tokens, draws: SequenceRNG) -> _History:
    event, row = events(tokens), tokens.sequence_of()
    place = torch.arange(len(event), device=event.device)
    owned = with_text(tokens, event)
    latest = torch.where(event, place, -1).cummax(0).values if len(place) else place
    anchor = torch.where(owned, latest, place)
    count = torch.bincount(row[event], minlength=len(tokens))
    number = event.long().cumsum(0) - 1 - (count.cumsum(0) - count)[row]
    words = draws.named("stretch").of_sequences()[:, 0]
    return _History(event, owned, anchor, number, count, row, words, draws)

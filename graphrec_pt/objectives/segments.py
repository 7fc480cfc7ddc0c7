"""Segment objectives: was a sequence rearranged, and do two segments belong together."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from pydantic import Field
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.graph.spec import GraphSpec
from graphrec_pt.kernels.csr import NO_TIME
from graphrec_pt.kernels.torch.segments import ranges
from graphrec_pt.models.heads import FeatureHead, PairHead
from graphrec_pt.models.model import Model
from graphrec_pt.models.view import Encoded, View
from graphrec_pt.objectives.objective import (
    Examples,
    Objective,
    RequiredFields,
    TrainingExamples,
    objective,
)
from graphrec_pt.objectives.sequence_rng import one_of, unit
from graphrec_pt.sampling.sampler import Sets
from graphrec_pt.tokens.join import concat
from graphrec_pt.tokens.kind import IGNORE, Kind, Special
from graphrec_pt.tokens.tokens import Tokens

HEAD, BODY, TAIL = 0, 1, 2
"""Parts of a sequence, see :class:`Parts`."""

_END = 3  # label of the specials at the end, after −1, 0, 1 and 2


@dataclass(frozen=True, eq=False, slots=True)
class Parts:
    """The movable parts of a sequence.

    Between a head (roots and specials before the first event) and a tail (specials at the end)
    lies the body, made of units: a node with the text that follows it and the relation token
    before it, or a single token where there are no nodes.

    Args:
        part: int64 ``[T]`` of HEAD, BODY and TAIL.
        unit: int64 ``[T]``, number of the unit in the body of its sequence.
        count: int64 ``[B]``, units of each sequence.
    """

    part: Tensor
    unit: Tensor
    count: Tensor

    @classmethod
    def of(cls, tokens: Tokens) -> "Parts":
        """Return the parts of sequences."""
        row, size = tokens.sequence_of(), len(tokens)
        relation, special = tokens.kind == Kind.RELATION, tokens.kind == Kind.SPECIAL
        led = torch.zeros_like(relation)
        led[1:] = relation[:-1] & (row[1:] == row[:-1])
        starts = relation | ((tokens.kind == Kind.NODE) & (tokens.hop != 0) & ~led)
        some = torch.bincount(row[starts], minlength=size) > 0
        starts = torch.where(some[row], starts, ~special)  # text without nodes: token by token
        before = starts.long().cumsum(0)
        count = torch.bincount(row[starts], minlength=size)
        unit = before - (count.cumsum(0) - count)[row] - 1
        place = tokens.places()
        last = torch.full_like(count, -1)
        last = last.scatter_reduce(0, row[~special], place[~special], "amax")
        part = torch.where(place > last[row], TAIL, torch.where(unit < 0, HEAD, BODY))
        return cls(part, unit.clamp(min=0), count)

    def halves(self, tokens: Tokens) -> Tensor:
        """Return which segment of the body a token is in: 0 or 2, −1 outside: int64 ``[T]``.

        The first SEP divides the body, and is 1; where there is none, the first half of the units,
        rounded up, are one segment.
        """
        row, body = tokens.sequence_of(), self.part == BODY
        is_sep = body & (tokens.kind == Kind.SPECIAL) & (tokens.id == Special.SEP)
        seps = torch.bincount(row[is_sep], minlength=len(tokens))
        seps_so_far = is_sep.long().cumsum(0) - (seps.cumsum(0) - seps)[row]  # with this one
        by_sep = torch.where(seps_so_far == 0, 0, torch.where(is_sep & (seps_so_far == 1), 1, 2))
        by_unit = torch.where(2 * self.unit >= self.count[row] + self.count[row] % 2, 2, 0)
        return torch.where(body, torch.where(seps[row] > 0, by_sep, by_unit), -1)


class OfSegments(Objective):
    """An objective that needs only the hop of nodes, which marks the roots."""

    @property
    def needs(self) -> RequiredFields:
        """Nodes with their hop, which marks the roots."""
        return RequiredFields(frozenset({Kind.NODE}), frozenset({"hop"}))


class OfTwoSegments(OfSegments):
    """``−1/B Σ log p(label | mean of the first segment, mean of the second)``.

    Targets are `first` and `second`, the tokens of each segment, and `label` ``[B]``.
    """

    def head(self, spec: GraphSpec, width: int) -> PairHead:
        """Return the head of pairs, which returns logits."""
        return PairHead(width)

    def loss(
        self, encoded: Sequence[Encoded], corrupted: TrainingExamples, model: Model, head: PairHead
    ) -> Tensor:
        """Return the mean over sequences."""
        at, shown = corrupted.targets, encoded[0]
        left, right = (_mean(shown, at[name]) for name in ("first", "second"))
        logits = head(left, right)  # [B]
        return binary_cross_entropy_with_logits(logits, at["label"].to(logits.dtype))


@objective("rearranged")
class Rearranged(OfSegments):
    """Rearranged sequence prediction (RSP) of RESETBERT4Rec (Zhao, SIGIR 2022), re-derived.

    ``L = 1/B Σ BCE(σ(f(mean h)), [the sequence was rearranged])``; with probability p all events
    of a sequence are put into a drawn order. Roots stay in front. Times, hops, slots and parents,
    which would show the order, are made neutral in all sequences alike. A sequence whose ids are
    the same in the drawn order counts as not rearranged; one of a single event is left out.

    Args:
        rearranged: p.
    """

    rearranged: float = Field(0.5, gt=0, lt=1)

    def corrupt(self, examples: Examples) -> TrainingExamples:
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
        sequence = tokens.sequence_of()
        leads[1:] = (parts.unit[1:] != parts.unit[:-1]) | (sequence[1:] != sequence[:-1])
        drawn = bits[kept][leads.nonzero().squeeze(1)[leads.long().cumsum(0) - 1]]
        rank = torch.where(chance[rows][sequence], drawn, parts.unit)
        seen, _ = reordered(tokens, parts, rank)
        moved = torch.bincount(sequence[seen.id != tokens.id], minlength=len(rows)) > 0
        return TrainingExamples((View(seen),), {"label": moved}, len(rows))

    def head(self, spec: GraphSpec, width: int) -> FeatureHead:
        """Return one logit."""
        return FeatureHead(width, 1)

    def loss(
        self,
        encoded: Sequence[Encoded],
        corrupted: TrainingExamples,
        model: Model,
        head: FeatureHead,
    ) -> Tensor:
        """Return the mean over sequences."""
        logits = head(encoded[0].pooled()).squeeze(1)  # [B]
        label = corrupted.targets["label"].to(logits.dtype)
        return binary_cross_entropy_with_logits(logits, label)


@objective("sentence_order")
class SentenceOrder(OfTwoSegments):
    """Sentence order prediction (SOP) of ALBERT (Lan et al., ICLR 2020).

    ``L = −1/B Σ log p(in order | a, b)`` for the two segments of a sequence, which are swapped
    with probability p: those around its first SEP, or the halves of its events. Roots stay in
    front. Times, hops, slots and parents, which would show the order, are made neutral in all
    sequences alike.

    Args:
        swapped: p.
    """

    swapped: float = Field(0.5, gt=0, lt=1)

    def corrupt(self, examples: Examples) -> TrainingExamples:
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
        return TrainingExamples((View(seen),), targets, len(rows))


@objective("next_sentence")
class NextSentence(OfTwoSegments):
    """Next sentence prediction (NSP) of BERT (Devlin et al., NAACL 2019).

    ``L = −1/B Σ log p(b continues a | a, b)``. The first segment of a sequence is followed by its
    own second one or, with probability p, by the second one of another root of the same type,
    drawn from the whole graph and sampled in the same way. Segments are those around the first
    SEP, or the halves of the events. Times, hops, slots and parents are made neutral in all
    sequences alike, for two histories do not fit in time.

    Args:
        random: p.
    """

    random: float = Field(0.5, gt=0, lt=1)

    def corrupt(self, examples: Examples) -> TrainingExamples:
        """Return the sequences of two segments, some with the second one of another root.

        Sequences whose drawn partner has no two segments are left out.
        """
        tokens = _divided(examples.tokens)
        rows = divisible(tokens, tokens.labels)  # [K]
        words = examples.draws.named("next_sentence").of_sequences()[rows, 0]  # [K, 4]
        random = unit(words[:, 0]) < self.random
        drawn = random.nonzero().squeeze(1)
        others, usable, whose = _others(examples, examples.owner[rows[drawn]], words[drawn, 1:3])
        partner = torch.where(random, -1, rows)  # whose second segment, of all sequences
        partner[drawn[whose]] = len(tokens) + usable
        kept = (partner >= 0).nonzero().squeeze(1)
        joined = _joined(concat([tokens, others]), rows[kept], partner[kept])
        targets = {
            "first": (joined.labels == 0).nonzero().squeeze(1),
            "second": (joined.labels == 2).nonzero().squeeze(1),
            "label": ~random[kept],
        }
        return TrainingExamples((View(neutral(joined)),), targets, len(kept))


def _divided(tokens: Tokens) -> Tokens:
    """Return tokens whose label is their segment, or the mark of the tail."""
    parts = Parts.of(tokens)
    labels = torch.where(parts.part == TAIL, _END, parts.halves(tokens))
    return replace(tokens, labels=labels, edges=None)


def _joined(tokens: Tokens, own: Tensor, mate: Tensor) -> Tokens:
    """Return sequences that join the first segments of some with the second segments of others.

    Args:
        tokens: Divided.
        own: int64 ``[K]``, sequences that give head, first segment and tail.
        mate: int64 ``[K]``, sequences that give the second segment.
    """
    rows = torch.cat([own, mate])
    at, which = ranges(tokens.ptr[rows], tokens.lengths()[rows])
    label, of_mate = tokens.labels[at], which >= len(own)
    row = torch.where(of_mate, which - len(own), which)
    stays = ((label == 2) == of_mate).nonzero().squeeze(1)
    part = label.clamp(min=1)[stays]  # head and first segment stand in their order
    at = at[stays][torch.argsort(row[stays] * 4 + part, stable=True)]
    length = torch.bincount(row[stays], minlength=len(own))
    return Tokens.of(
        tokens.id[at],
        tokens.kind[at],
        torch.cat([length.new_zeros(1), length.cumsum(0)]),
        type=tokens.type[at],
        hop=tokens.hop[at],
        relation=tokens.relation[at],
        labels=tokens.labels[at],
        word=None if tokens.word is None else tokens.word[at],
    )


def _others(examples: Examples, owner: Tensor, words: Tensor) -> tuple[Tokens, Tensor, Tensor]:
    """Sample another root for each of some roots.

    Args:
        examples: The batch.
        owner: int64 ``[n]``, which roots.
        words: int64 ``[n, 2]``, random bits.

    Returns:
        Sequences, int64 ``[C]``, one with two segments per root that was found one, and int64
        ``[C]``, for which.
    """
    if isinstance(examples.roots, Sets):
        raise GraphRecError("next_sentence", "nodes or pairs as roots", "sets", "another sampler")
    roots = examples.roots[owner]  # [n] or [n, 2]
    csr = examples.graph.csr
    types = csr.node_type(roots)
    low, size = csr.offset[types], csr.offset[types + 1] - csr.offset[types]
    step = 1 + one_of(words if roots.ndim == 2 else words[:, 0], (size - 1).clamp(min=1))
    exclude = None if examples.exclude is None else torch.full_like(owner, -1)
    tokens, whose = examples.resample(low + (roots - low + step) % size, exclude)
    tokens = _divided(tokens)
    usable = divisible(tokens, tokens.labels)
    first = torch.ones_like(usable, dtype=torch.bool)
    first[1:] = whose[usable][1:] != whose[usable][:-1]
    usable = usable[first]
    return tokens, usable, whose[usable]


def _mean(shown: Encoded, place: Tensor) -> Tensor:
    """Return the mean of some hidden states of each sequence: ``[B, D]``."""
    row = shown.view.tokens.sequence_of()[place]
    total = shown.hidden.new_zeros(len(shown.view.tokens), shown.hidden.shape[1])
    total = total.index_add(0, row, shown.hidden.index_select(0, place))
    count = torch.bincount(row, minlength=len(total)).clamp(min=1)
    return total / count.unsqueeze(1)


def reordered(tokens: Tokens, parts: Parts, rank: Tensor) -> tuple[Tokens, Tensor]:
    """Return sequences with bodies ordered by a rank; columns that show the old order go.

    Positions are counted anew; times, slots, parents, edges and labels go, and hops end at 1.

    Args:
        tokens: B sequences.
        parts: Parts of the sequences.
        rank: int64 ``[T]`` in ``[0, 2**32)``, equal inside a unit; ties keep their order.

    Returns:
        The sequences, and int64 ``[T]``, the old token of each new one.
    """
    group = (tokens.sequence_of() << 2) | parts.part
    order = torch.argsort((group << 32) | torch.where(parts.part == BODY, rank, 0), stable=True)
    return neutral(tokens.take(order)), order


def neutral(tokens: Tokens) -> Tokens:
    """Return tokens in which only the position shows the order."""
    return replace(
        tokens,
        position=tokens.places(),
        hop=tokens.hop.clamp(max=1),
        parent=torch.full_like(tokens.parent, -1),
        slot=torch.zeros_like(tokens.slot),
        time=torch.full_like(tokens.time, NO_TIME),
        labels=torch.full_like(tokens.labels, IGNORE),
        edges=None,
        word=None if tokens.word is None else _renumbered(tokens, tokens.word),
    )


def _renumbered(tokens: Tokens, word: Tensor) -> Tensor:
    """Return the number of each word, counted in the new order: int64 ``[T]``."""
    row = tokens.sequence_of()
    begins = word >= 0
    begins[1:] &= (word[1:] != word[:-1]) | (row[1:] != row[:-1])
    count = torch.bincount(row[begins], minlength=len(tokens))
    number = begins.long().cumsum(0) - 1 - (count.cumsum(0) - count)[row]
    return torch.where(word >= 0, number, -1)


def divisible(tokens: Tokens, half: Tensor) -> Tensor:
    """Return the sequences that have two segments: int64 ``[K]``.

    Args:
        tokens: B sequences.
        half: int64 ``[T]`` of :meth:`~graphrec_pt.objectives.rearranging.Parts.halves`.
    """
    row = tokens.sequence_of()
    sizes = [torch.bincount(row[half == which], minlength=len(tokens)) for which in (0, 2)]
    return ((sizes[0] > 0) & (sizes[1] > 0)).nonzero().squeeze(1)

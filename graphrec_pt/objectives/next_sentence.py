"""Next sentence: whether one segment continues another."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from pydantic import Field
from torch import Tensor

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.graph.outline import Outline
from graphrec_pt.kernels.torch.segments import ranges
from graphrec_pt.models.heads import PairHead
from graphrec_pt.models.model import Model
from graphrec_pt.models.view import Encoded, View
from graphrec_pt.objectives.draws import one_of, unit
from graphrec_pt.objectives.objective import Corrupted, Examples, Needs, Objective, objective
from graphrec_pt.objectives.rearranging import TAIL, Parts, neutral
from graphrec_pt.objectives.segment_pair import divisible, pair_loss
from graphrec_pt.sampling.sampler import Sets
from graphrec_pt.tokens.join import concat
from graphrec_pt.tokens.kind import Kind
from graphrec_pt.tokens.tokens import Tokens

_END = 3  # label of the specials at the end, after −1, 0, 1 and 2


@objective("next_sentence")
class NextSentence(Objective):
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

    @property
    def needs(self) -> Needs:
        """Nodes with their hop, which tells the roots."""
        return Needs(frozenset({Kind.NODE}), frozenset({"hop"}))

    def check(self, outline: Outline) -> None:
        """Need nothing of a graph."""

    def corrupt(self, examples: Examples) -> Corrupted:
        """Return the sequences of two segments, some with the second one of another root.

        Those that should get one of a root whose own sequence cannot be divided are left out.
        """
        tokens = _divided(examples.tokens)
        rows = divisible(tokens, tokens.labels)  # [K]
        words = examples.draws.named("next_sentence").of_sequences()[rows, 0]  # [K, 4]
        random = unit(words[:, 0]) < self.random
        asked = random.nonzero().squeeze(1)
        others, usable, whose = _others(examples, examples.owner[rows[asked]], words[asked, 1:3])
        mate = torch.where(random, -1, rows)  # whose second segment, of all sequences
        mate[asked[whose]] = len(tokens) + usable
        kept = (mate >= 0).nonzero().squeeze(1)
        joined = _joined(concat([tokens, others]), rows[kept], mate[kept])
        targets = {
            "first": (joined.labels == 0).nonzero().squeeze(1),
            "second": (joined.labels == 2).nonzero().squeeze(1),
            "label": ~random[kept],
        }
        return Corrupted((View(neutral(joined)),), targets, len(kept))

    def head(self, outline: Outline, width: int) -> PairHead:
        """Return the head of pairs."""
        return PairHead(width)

    def loss(
        self, encoded: Sequence[Encoded], corrupted: Corrupted, model: Model, head: PairHead
    ) -> Tensor:
        """Return the mean over sequences."""
        return pair_loss(encoded, corrupted, head)


def _divided(tokens: Tokens) -> Tokens:
    """Return tokens with their segment as label, which stays with them, or that they end it all."""
    parts = Parts.of(tokens)
    labels = torch.where(parts.part == TAIL, _END, parts.halves(tokens))
    return replace(tokens, labels=labels, edges=None)


def _joined(tokens: Tokens, own: Tensor, mate: Tensor) -> Tokens:
    """Return sequences with the second segments of others, their labels, and what stays of them.

    Args:
        tokens: Divided.
        own: int64 ``[K]``, whose head, first segment and end.
        mate: int64 ``[K]``, whose second segment.
    """
    asked = torch.cat([own, mate])
    at, which = ranges(tokens.ptr[asked], tokens.lengths()[asked])
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
    tokens, whose = examples.again(low + (roots - low + step) % size, exclude)
    tokens = _divided(tokens)
    usable = divisible(tokens, tokens.labels)
    first = torch.ones_like(usable, dtype=torch.bool)
    first[1:] = whose[usable][1:] != whose[usable][:-1]
    usable = usable[first]
    return tokens, usable, whose[usable]

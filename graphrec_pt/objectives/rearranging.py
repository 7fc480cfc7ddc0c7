"""Sequences put into another order, and columns that would tell of the old one made neutral."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from graphrec_pt.kernels.csr import NO_TIME
from graphrec_pt.tokens.kind import IGNORE, Kind, Special
from graphrec_pt.tokens.tokens import Tokens

HEAD, BODY, TAIL = 0, 1, 2


@dataclass(frozen=True, eq=False, slots=True)
class Parts:
    """What may be moved in a sequence.

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
        met = is_sep.long().cumsum(0) - (seps.cumsum(0) - seps)[row]  # with this one
        by_sep = torch.where(met == 0, 0, torch.where(is_sep & (met == 1), 1, 2))
        by_unit = torch.where(2 * self.unit >= self.count[row] + self.count[row] % 2, 2, 0)
        return torch.where(body, torch.where(seps[row] > 0, by_sep, by_unit), -1)


def reordered(tokens: Tokens, parts: Parts, rank: Tensor) -> tuple[Tokens, Tensor]:
    """Return sequences with their bodies ordered by a rank, and nothing that tells of it.

    Positions are counted anew; times, slots, parents, edges and labels go, and hops end at 1.

    Args:
        tokens: B sequences.
        parts: Of them.
        rank: int64 ``[T]`` in ``[0, 2**32)``, equal inside a unit; ties keep their order.

    Returns:
        The sequences, and int64 ``[T]``, the old token of each new one.
    """
    group = (tokens.sequence_of() << 2) | parts.part
    order = torch.argsort((group << 32) | torch.where(parts.part == BODY, rank, 0), stable=True)
    return neutral(tokens.take(order)), order


def neutral(tokens: Tokens) -> Tokens:
    """Return tokens whose columns say nothing of their order but the place they stand at."""
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
    """Return the number of each word in the order in which words stand now: int64 ``[T]``."""
    row = tokens.sequence_of()
    begins = word >= 0
    begins[1:] &= (word[1:] != word[:-1]) | (row[1:] != row[:-1])
    count = torch.bincount(row[begins], minlength=len(tokens))
    number = begins.long().cumsum(0) - 1 - (count.cumsum(0) - count)[row]
    return torch.where(word >= 0, number, -1)

"""Random draws for corruption: functions of root and place, equal for any batch or worker."""

from dataclasses import dataclass, replace
from typing import Self

import torch
from torch import Tensor

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.core.key import Key
from graphrec_pt.kernels.philox import below, draw32, philox
from graphrec_pt.tokens.tokens import Tokens

PLACE_BITS = 16
"""Tokens of a sequence, and sequences of a root, have 2**16 numbers each."""


@dataclass(frozen=True, eq=False, slots=True)
class SequenceRNG:
    """Names the draws of B sequences.

    A draw depends on seed, epoch, purpose, the row of the sequence among all roots, its number
    among the sequences of that root, and the place of the token: never on the batch. What all
    sequences share (:meth:`shared`) depends on the optimiser's step instead: the micro-batches and
    processes of a step have the same, and no two steps.

    Args:
        key: Seed, epoch and stream.
        row: int64 ``[B]``, below 2**32.
        number: int64 ``[B]``, 0, 1, … among the sequences of one row.
        step: Number of the step in its epoch.
    """

    key: Key
    row: Tensor
    number: Tensor
    step: int = 0

    @classmethod
    def of(cls, key: Key, row: Tensor, owner: Tensor, step: int = 0) -> Self:
        """Return the generator for the sequences of a batch of roots.

        Args:
            key: Seed and epoch.
            row: int64 ``[R]``, rows of the roots among all.
            owner: int64 ``[B]``, the root of each sequence in ``[0, R)``, never falling.
            step: Number of the step in its epoch.
        """
        count = torch.bincount(owner, minlength=len(row))
        first = count.cumsum(0) - count
        number = torch.arange(len(owner), device=owner.device) - first[owner]
        return cls(key, row[owner], number, step)

    def named(self, purpose: str) -> Self:
        """Return an independent generator for the same sequences, named for a purpose."""
        return replace(self, key=self.key.named(purpose))

    def select(self, rows: Tensor) -> Self:
        """Return the generator for some of the sequences: int64 ``[K]``."""
        return replace(self, row=self.row[rows], number=self.number[rows])

    def of_tokens(self, tokens: Tokens) -> Tensor:
        """Return four words of 32 random bits for every token: int64 ``[T, 4]``."""
        self._check(tokens)
        row, place = tokens.sequence_of(), tokens.places()
        block = (self.number[row] << PLACE_BITS) | place
        return philox(self.key, self.row[row], block)

    def of_sequences(self, times: int = 1) -> Tensor:
        """Return four words of 32 random bits, several times, for every sequence.

        Returns:
            int64 ``[B, times, 4]``.
        """
        step = torch.arange(times, device=self.row.device)
        block = (self.number[:, None] << PLACE_BITS) | step  # [B, times]
        return philox(self.key.named("sequence"), self.row[:, None].expand_as(block), block)

    def shared(self, count: int) -> Tensor:
        """Return 32 random bits, several times, that all sequences of a step share: int64."""
        draw = torch.arange(count, device=self.row.device)
        return draw32(self.key.named("shared"), torch.full_like(draw, self.step), draw)

    def _check(self, tokens: Tokens) -> None:
        if len(tokens) != len(self.row):
            raise GraphRecError("Draws", f"{len(self.row)} sequences", len(tokens))
        longest = int(tokens.lengths().max()) if len(tokens) else 0
        if longest >= 1 << PLACE_BITS:
            raise GraphRecError("Draws", f"sequences below {1 << PLACE_BITS} tokens", longest)


def unit(words: Tensor) -> Tensor:
    """Return float64 in ``[0, 1)`` from words of 32 bits."""
    return words.double() / (1 << 32)


def one_of(words: Tensor, n: Tensor | int) -> Tensor:
    """Return int64 in ``[0, n)`` from words of 32 bits."""
    return below(words, n)

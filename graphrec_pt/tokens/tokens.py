"""Tokens: one packed batch for every linearizer, objective and backbone."""

from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.kernels.csr import NO_TIME
from graphrec_pt.kernels.torch.segments import ranges
from graphrec_pt.tokens.kind import IGNORE, Kind

_KINDS = ", ".join(kind.name for kind in Kind)
_DEFAULTS = {
    "type": -1,
    "slot": 0,
    "hop": -1,
    "parent": -1,
    "relation": -1,
    "time": NO_TIME,
    "labels": IGNORE,
}


@dataclass(frozen=True, eq=False)
class Tokens:
    """B sequences of T tokens in all, end to end; no padding is stored.

    A batch is a value: nothing in the library writes into its tensors, changes go through
    ``dataclasses.replace`` and the methods below.

    Args:
        id: int64 ``[T]``, node, relation, special, text or prompt id, one id space per kind.
        kind: int64 ``[T]`` of :class:`~graphrec_pt.tokens.kind.Kind`.
        type: int64 ``[T]``, index of the node type of a node, also of a masked one; −1 else.
        slot: int64 ``[T]``, which path, metapath or relation a token belongs to, from 1; 0 for
            roots and specials.
        position: int64 ``[T]``, place in the sequence; members of a set share one.
        hop: int64 ``[T]``, steps from the root; −1 for tokens that no step leads to.
        parent: int64 ``[T]``, index inside the sequence of the token that a token was reached
            from; −1 for roots and where that token is not in the sequence.
        relation: int64 ``[T]``, relation by which a node was reached; −1 for none.
        time: int64 ``[T]`` of that edge, :data:`~graphrec_pt.kernels.csr.NO_TIME` for none.
        ptr: int64 ``[B+1]``, where each sequence starts.
        labels: int64 ``[T]``, the id to be predicted; −100 for none.
        edges: int64 ``[M, 3]``, edges among the tokens of each sequence as (source, relation,
            target) with tokens counted through the whole batch; None unless sampled.
        word: int64 ``[T]``, number of the node in its sequence that a token is, or is the text
            of: the whole-word index of P5 (Geng et al., RecSys 2022); −1 for none. None unless
            there is text.

    Raises:
        GraphRecError: When the arrays do not fit one another.
    """

    id: Tensor
    kind: Tensor
    type: Tensor
    slot: Tensor
    position: Tensor
    hop: Tensor
    parent: Tensor
    relation: Tensor
    time: Tensor
    ptr: Tensor
    labels: Tensor
    edges: Tensor | None = None
    word: Tensor | None = None

    @classmethod
    def of(cls, id: Tensor, kind: Tensor | Kind, ptr: Tensor, **columns: Tensor | None) -> "Tokens":
        """Return tokens with the columns given and neutral values in the others.

        Args:
            id: int64 ``[T]``.
            kind: int64 ``[T]``, or one kind for all.
            ptr: int64 ``[B+1]``.
            **columns: Other fields by name; `position` counts from 0 in every sequence.
        """
        if isinstance(kind, Kind):
            kind = torch.full_like(id, kind)
        filled: dict[str, Any] = {
            name: torch.full_like(id, value)
            for name, value in _DEFAULTS.items()
            if name not in columns
        }
        if "position" not in columns:
            filled["position"] = ranges(torch.zeros_like(ptr[1:]), ptr.diff())[0]
        return cls(**(filled | columns), id=id, kind=kind, ptr=ptr)

    def __post_init__(self) -> None:
        column = torch.Size([self.id.numel()])
        for name, value in _tensors(self).items():
            shape = column
            if name == "ptr":
                shape = torch.Size([max(value.numel(), 1)])
            elif name == "edges":
                shape = torch.Size([len(value), 3])
            if value.dtype != torch.int64 or value.shape != shape:
                got = f"{value.dtype} {list(value.shape)}"
                raise GraphRecError("Tokens", f"{name} as int64 {list(shape)}", got)
        # Reading values would synchronise the device; they were checked before the move.
        if self.ptr.device.type == "cpu":
            _check_values(self)

    def __len__(self) -> int:
        """B."""
        return len(self.ptr) - 1

    def to(self, device: torch.device | str, *, non_blocking: bool = False) -> "Tokens":
        """Return the same batch on another device."""
        moved = {n: v.to(device, non_blocking=non_blocking) for n, v in _tensors(self).items()}
        return replace(self, **moved)

    def pin_memory(self) -> "Tokens":
        """Return the same batch in page-locked memory, for copies that overlap with work."""
        return replace(self, **{n: v.pin_memory() for n, v in _tensors(self).items()})

    def lengths(self) -> Tensor:
        """Return the number of tokens of each sequence: int64 ``[B]``."""
        return self.ptr.diff()

    def sequence_of(self) -> Tensor:
        """Return the sequence of every token: int64 ``[T]``."""
        return self._sequence

    def places(self) -> Tensor:
        """Return the index of every token inside its sequence: int64 ``[T]``."""
        return torch.arange(len(self.id), device=self.ptr.device) - self.ptr[self.sequence_of()]

    def parents(self) -> Tensor:
        """Return the parent of every token, counted through the batch, −1 for none: ``[T]``."""
        return torch.where(self.parent < 0, -1, self.ptr[self.sequence_of()] + self.parent)

    def nodes(self) -> tuple[Tensor, Tensor]:
        """Return node ids and the sequence of each, in stored order: two int64 ``[n]``."""
        is_node = self.kind == Kind.NODE
        return self.id[is_node], self.sequence_of()[is_node]

    def triples(self) -> Tensor:
        """Return every edge between a node and its parent as (source, relation, target).

        Returns:
            int64 ``[n, 3]`` of node ids and relation indices; a masked end or relation gives none.
        """
        before = self.parents()
        kept = (before >= 0) & (self.relation >= 0) & (self.kind == Kind.NODE)
        kept &= self.kind[before.clamp(min=0)] == Kind.NODE
        columns = self.id[before[kept]], self.relation[kept], self.id[kept]
        return torch.stack(columns, dim=1)

    def select(self, rows: int | Tensor) -> "Tokens":
        """Return the chosen sequences, each as if it had been linearized alone.

        Args:
            rows: One sequence, or int64 ``[K]`` in the order of the result.
        """
        wanted = torch.as_tensor(rows, device=self.ptr.device).reshape(-1)
        if self.edges is None and _is_all(wanted, len(self)):
            return self
        length = self.ptr.diff()[wanted]
        place, _ = ranges(self.ptr[wanted], length)
        ptr = _starts(length)
        edges = self.edges
        if edges is not None:
            sequence = self.sequence_of()[edges[:, 0]]
            order = torch.argsort(sequence, stable=True)
            count = torch.bincount(sequence, minlength=len(self))
            at, mine = ranges((count.cumsum(0) - count)[wanted], count[wanted])
            shift = (ptr[:-1] - self.ptr[wanted])[mine]
            zero = torch.zeros_like(shift)
            edges = edges[order[at]] + torch.stack([shift, zero, shift], dim=1)
        return replace(self, **_rows(self, place), ptr=ptr, edges=edges)

    def take(self, order: Tensor) -> "Tokens":
        """Return the chosen tokens of every sequence; pointers to other tokens become −1.

        Args:
            order: int64 ``[n]`` tokens counted through the batch, each at most once, those of one
                sequence side by side and the sequences in their order.
        """
        sequence = self.sequence_of().index_select(0, order)
        ptr = _starts(torch.bincount(sequence, minlength=len(self)))
        number = torch.full_like(self.id, -1)
        number.index_copy_(0, order, torch.arange(len(order), device=order.device))
        before = self.parents().index_select(0, order)
        parent = torch.where(before < 0, -1, number.index_select(0, before.clamp(min=0)))
        parent = torch.where(parent < 0, -1, parent - ptr.index_select(0, sequence))
        edges = self.edges
        if edges is not None:
            edges = torch.stack([number[edges[:, 0]], edges[:, 1], number[edges[:, 2]]], dim=1)
            edges = edges[(edges[:, 0] >= 0) & (edges[:, 2] >= 0)]
        return replace(self, **{**_rows(self, order), "parent": parent}, ptr=ptr, edges=edges)

    def padded(self, length: int | None = None) -> tuple[Tensor, Tensor]:
        """Return the place of each token in a dense batch, for backbones that need padding.

        ``values[index]`` is dense, ``dense[mask]`` is packed again.

        Args:
            length: L; the longest sequence by default.

        Returns:
            index int64 ``[B, L]``, 0 where there is no token, and mask bool ``[B, L]``.

        Raises:
            GraphRecError: When a sequence is longer than L.
        """
        longest = int(self.lengths().max()) if len(self) else 0
        if length is not None and longest > length:
            hint = "a smaller window or size in the linearizer"
            raise GraphRecError("padded", f"sequences of at most {length} tokens", longest, hint)
        place = torch.arange(longest if length is None else length, device=self.ptr.device)
        mask = place < self.lengths()[:, None]  # [B, L]
        return (self.ptr[:-1, None] + place).masked_fill(~mask, 0), mask

    @cached_property
    def _sequence(self) -> Tensor:
        rows = torch.arange(len(self), device=self.ptr.device)
        return rows.repeat_interleave(self.ptr.diff(), output_size=len(self.id))


def same(a: Tokens, b: Tokens) -> bool:
    """Return whether two batches are equal to the bit."""
    mine, other = _tensors(a), _tensors(b)
    return mine.keys() == other.keys() and all(torch.equal(mine[n], other[n]) for n in mine)


_NAMES = tuple(field.name for field in fields(Tokens))


def _tensors(tokens: Tokens) -> dict[str, Tensor]:
    values = tokens.__dict__
    return {name: values[name] for name in _NAMES if values[name] is not None}


def _rows(tokens: Tokens, order: Tensor) -> dict[str, Any]:
    columns = _tensors(tokens)
    return {n: v.index_select(0, order) for n, v in columns.items() if n not in ("ptr", "edges")}


def _is_all(rows: Tensor, size: int) -> bool:
    """Return whether rows are ``range(B)``; False on a device, where reading would synchronise."""
    known = rows.device.type == "cpu" and len(rows) == size
    return known and torch.equal(rows, torch.arange(size))


def _starts(length: Tensor) -> Tensor:
    return torch.cat([length.new_zeros(1), length.cumsum(0)])


def _check_values(tokens: Tokens) -> None:
    ptr, total = tokens.ptr.numpy(), len(tokens.id)  # numpy is quicker where arrays are short
    length = np.diff(ptr)
    ends = [int(ptr[0]), int(ptr[-1])] if len(ptr) else []
    if ends != [0, total] or (length < 0).any():
        raise GraphRecError("Tokens", f"ptr ascending from 0 to {total}", ends)
    for name, low, high, expected in (
        ("id", 0, None, "id >= 0"),
        ("kind", 0, len(Kind), "kind of " + _KINDS),
        ("parent", -1, length, "parent inside its sequence"),
    ):
        values = getattr(tokens, name).numpy()
        wrong = values < low
        if high is length:
            wrong |= values >= np.repeat(length, length)
        elif high is not None:
            wrong |= values >= high
        if wrong.any():
            at = int(wrong.argmax())
            raise GraphRecError("Tokens", expected, f"{int(values[at])} at token {at}")
    if tokens.edges is not None and len(tokens.edges):
        sources, targets = tokens.edges[:, 0].numpy(), tokens.edges[:, 2].numpy()
        inside = min(sources.min(), targets.min()) >= 0
        inside &= max(sources.max(), targets.max()) < total
        sequence = tokens.sequence_of().numpy()
        if not inside or (sequence[sources] != sequence[targets]).any():
            raise GraphRecError("Tokens", "edges inside sequences", "an edge that leaves its own")

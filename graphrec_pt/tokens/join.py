"""Joins of token batches: one after another, side by side, or framed by special tokens."""

from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any

import torch
from torch import Tensor

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.tokens.kind import Kind, Special
from graphrec_pt.tokens.tokens import Tokens

_COLUMNS = [f.name for f in fields(Tokens) if f.name not in ("ptr", "edges", "word")]


def concat(batches: Sequence[Tokens]) -> Tokens:
    """Return all sequences in a row: B is the sum.

    Raises:
        GraphRecError: For no batches, and when only some have edges.
    """
    _check(batches, "concat")
    start, first = 0, [batches[0].ptr[:1]]
    edges = []
    for batch in batches:
        first.append(batch.ptr[1:] + start)
        if batch.edges is not None:
            edges.append(batch.edges + batch.edges.new_tensor([start, 0, start]))
        start += len(batch.id)
    if edges and len(edges) < len(batches):
        raise GraphRecError("concat", "edges in every batch or in none", "some with edges")
    columns: dict[str, Any] = {n: torch.cat([getattr(b, n) for b in batches]) for n in _COLUMNS}
    return Tokens(
        **columns,
        ptr=torch.cat(first),
        edges=torch.cat(edges) if edges else None,
        word=_words(batches),
    )


def side_by_side(parts: Sequence[Tokens]) -> Tokens:
    """Return sequences made of the sequences of every part, end to end: B stays.

    Positions and parents of a part are shifted by the length of the parts before it.

    Raises:
        GraphRecError: For no parts, and for parts with different numbers of sequences.
    """
    _check(parts, "side_by_side")
    if len({len(part) for part in parts}) > 1:
        sizes = [len(part) for part in parts]
        raise GraphRecError("side_by_side", "parts with as many sequences", sizes)
    ptr = torch.stack([part.ptr for part in parts]).sum(0)
    before = torch.zeros_like(ptr[1:])  # tokens of earlier parts, [B]
    places, edges, parent, position = [], [], [], []
    for part in parts:
        row = part.sequence_of()
        place = (ptr[:-1] + before - part.ptr[:-1])[row]
        place = place + torch.arange(len(place), device=place.device)
        places.append(place)
        parent.append(torch.where(part.parent < 0, -1, part.parent + before[row]))
        position.append(part.position + before[row])
        if part.edges is not None:
            ends = place[part.edges[:, 0]], part.edges[:, 1], place[part.edges[:, 2]]
            edges.append(torch.stack(ends, dim=1))
        before = before + part.lengths()
    order = torch.empty_like(torch.cat(places))
    order[torch.cat(places)] = torch.arange(len(order), device=order.device)
    columns: dict[str, Any] = {n: torch.cat([getattr(p, n) for p in parts]) for n in _COLUMNS}
    columns |= {"parent": torch.cat(parent), "position": torch.cat(position)}
    columns = {name: column[order] for name, column in columns.items()}
    word = _words(parts)
    return Tokens(
        **columns,
        ptr=ptr,
        edges=torch.cat(edges) if edges else None,
        word=None if word is None else word[order],
    )


def framed(tokens: Tokens, first: Special | None = None, last: Special | None = None) -> Tokens:
    """Return sequences with a special token before, after, or both."""
    ends = [None if which is None else specials(which, len(tokens)) for which in (first, last)]
    front, back = (None if end is None else end.to(tokens.ptr.device) for end in ends)
    parts = [part for part in (front, tokens, back) if part is not None]
    return side_by_side(parts) if len(parts) > 1 else tokens


def specials(which: Special, size: int) -> Tokens:
    """Return `size` sequences of one special token each."""
    ids = torch.full((size,), which, dtype=torch.int64)
    return Tokens.of(ids, Kind.SPECIAL, torch.arange(size + 1))


def merged(tokens: Tokens, owner: Tensor, size: int) -> Tokens:
    """Return neighbouring sequences made into one each.

    Args:
        tokens: B sequences.
        owner: int64 ``[B]``, the new sequence of each, ascending.
        size: How many new sequences there are; some may be empty.
    """
    count = torch.zeros(size, dtype=torch.int64, device=owner.device)
    count.index_add_(0, owner, tokens.lengths())
    ptr = torch.cat([count.new_zeros(1), count.cumsum(0)])
    shift = (tokens.ptr[:-1] - ptr[owner])[tokens.sequence_of()]
    parent = torch.where(tokens.parent < 0, -1, tokens.parent + shift)
    return replace(tokens, ptr=ptr, parent=parent, position=tokens.position + shift)


def _words(parts: Sequence[Tokens]) -> Tensor | None:
    if all(part.word is None for part in parts):
        return None
    return torch.cat([torch.full_like(p.id, -1) if p.word is None else p.word for p in parts])


def _check(parts: Sequence[Tokens], who: str) -> None:
    if not parts:
        raise GraphRecError(who, "at least one batch of tokens", "none")

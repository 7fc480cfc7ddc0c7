"""Edges hidden from sequences, and what would tell of them."""

from dataclasses import replace

import torch
from torch import Tensor

from graphrec_pt.kernels.csr import NO_TIME
from graphrec_pt.objectives.masking import first_occurrence
from graphrec_pt.tokens.kind import Kind, Special
from graphrec_pt.tokens.tokens import Tokens


def links(tokens: Tokens) -> Tensor:
    """Return which nodes were reached over a known edge from a node in sight: bool ``[T]``."""
    return _joined(tokens) & (tokens.relation >= 0)


def pair_of_link(tokens: Tokens) -> Tensor:
    """Return one number for the two ends of each link, whichever comes first: int64 ``[T]``.

    Equal numbers are the same two nodes in the same sequence; −1 where no node leads to a node.
    """
    ends = tokens.parents().clamp(min=0), torch.arange(len(tokens.id), device=tokens.id.device)
    return torch.where(_joined(tokens), _pair(tokens, *ends), -1)


def without_edges(tokens: Tokens, chosen: Tensor) -> Tokens:
    """Return tokens in which nothing tells of the edges between the ends of some links.

    Every edge between the two nodes goes, under any relation, in either direction and in every
    slot: the link (parent, relation and time of the token), the relation token before it and the
    rows of `edges`.

    Args:
        tokens: B sequences.
        chosen: bool ``[T]``, some of :func:`links`.
    """
    pair = pair_of_link(tokens)
    hidden = pair[chosen]
    gone = (pair >= 0) & torch.isin(pair, hidden)
    spoken = torch.zeros_like(gone)  # a relation token stands before the node that it leads to
    spoken[:-1] = gone[1:] & (tokens.parent[:-1] == tokens.parent[1:])
    spoken &= tokens.kind == Kind.RELATION
    edges = tokens.edges
    if edges is not None:
        edges = edges[~torch.isin(_pair(tokens, edges[:, 0], edges[:, 2]), hidden)]
    return replace(
        tokens,
        id=torch.where(spoken, int(Special.MASK), tokens.id),
        kind=torch.where(spoken, int(Kind.SPECIAL), tokens.kind),
        parent=torch.where(gone, -1, tokens.parent),
        relation=torch.where(gone, -1, tokens.relation),
        time=torch.where(gone, NO_TIME, tokens.time),
        edges=edges,
    )


def without_relations(tokens: Tokens) -> Tokens:
    """Return tokens in which nothing tells a relation: relations, times and edges go."""
    spoken = tokens.kind == Kind.RELATION
    return replace(
        tokens,
        id=torch.where(spoken, int(Special.MASK), tokens.id),
        kind=torch.where(spoken, int(Kind.SPECIAL), tokens.kind),
        relation=torch.full_like(tokens.relation, -1),
        time=torch.full_like(tokens.time, NO_TIME),
        edges=None,
    )


def without_slots(tokens: Tokens) -> Tokens:
    """Return tokens whose slots cannot be told.

    Every slot becomes 0: were only some hidden, the others would tell which they are. In sequences
    that had slots the position becomes the hop, because the tokens stand there slot by slot.
    """
    slotted = torch.zeros_like(tokens.ptr[1:]).index_add_(0, tokens.sequence_of(), tokens.slot) > 0
    position = torch.where(slotted[tokens.sequence_of()], tokens.hop.clamp(min=0), tokens.position)
    return replace(tokens, slot=torch.zeros_like(tokens.slot), position=position)


def _joined(tokens: Tokens) -> Tensor:
    before, is_node = tokens.parents(), tokens.kind == Kind.NODE
    return (before >= 0) & is_node & is_node[before.clamp(min=0)] if len(before) else is_node


def _pair(tokens: Tokens, one: Tensor, other: Tensor) -> Tensor:
    first = first_occurrence(tokens)
    low, high = torch.minimum(first[one], first[other]), torch.maximum(first[one], first[other])
    return low * len(first) + high

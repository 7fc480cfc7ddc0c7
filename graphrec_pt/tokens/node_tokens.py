"""One token per sampled node: where every linearizer of subgraphs starts."""

from dataclasses import replace

import torch
from torch import Tensor

from graphrec_pt.graph.graph import Graph
from graphrec_pt.kernels.csr import NO_TIME
from graphrec_pt.sampling.forest import first_of
from graphrec_pt.sampling.sample import Subgraphs
from graphrec_pt.tokens.kind import Kind
from graphrec_pt.tokens.tokens import Tokens


def node_tokens(graph: Graph, sample: Subgraphs) -> Tokens:
    """Return the nodes of a sample as tokens, in its order and with its pointers."""
    return Tokens.of(
        sample.node,
        Kind.NODE,
        sample.ptr,
        type=graph.csr.node_type(sample.node),
        slot=sample.slot,
        hop=sample.hop,
        parent=sample.parent,
        relation=sample.relation,
        time=times_of(graph, sample.position),
        edges=sample.edges,
    )


def times_of(graph: Graph, position: Tensor) -> Tensor:
    """Return the time of each stored edge, NO_TIME for position −1: int64, same shape."""
    if graph.csr.time is None or not len(graph.csr.time):
        return torch.full_like(position, NO_TIME)
    return torch.where(position < 0, NO_TIME, graph.csr.time[position.clamp(min=0)])


def distinct(tokens: Tokens, *, per_slot: bool) -> Tokens:
    """Return tokens with every node once per sequence, or per sequence and slot.

    The first token of a node stays; pointers to the others and their edges go to it. An edge
    between two tokens stays once per relation.
    """
    if not len(tokens.id):
        return tokens
    group = tokens.sequence_of()
    if per_slot:
        group = group * (int(tokens.slot.max()) + 1) + tokens.slot
    group = group * (int(tokens.id.max()) + 1) + tokens.id
    first = first_of(group)
    kept = first.nonzero().squeeze(1)
    ordered, place = torch.sort(group[kept])
    stands_for = kept[place[torch.searchsorted(ordered, group)]]  # [T], the token that stays
    before = tokens.parents()
    inside = tokens.ptr[tokens.sequence_of()]
    parent = torch.where(before < 0, -1, stands_for[before.clamp(min=0)] - inside)
    edges = tokens.edges
    if edges is not None and len(edges):
        source, target = stands_for[edges[:, 0]], stands_for[edges[:, 2]]
        edge = (source * (int(edges[:, 1].max()) + 1) + edges[:, 1]) * len(first) + target
        edges = torch.stack([source, edges[:, 1], target], dim=1)[first_of(edge)]
    return replace(tokens, parent=parent, edges=edges).take(kept)


def sorted_by(tokens: Tokens, *keys: Tensor) -> Tensor:
    """Return the tokens of each sequence ordered by keys, the first one weighing most.

    Ties keep the order they have.

    Args:
        tokens: T tokens.
        *keys: ``[T]`` each, ascending.

    Returns:
        int64 ``[T]``, what :meth:`Tokens.take` expects.
    """
    order = torch.arange(len(tokens.id), device=tokens.id.device)
    for values in (*reversed(keys), tokens.sequence_of()):
        order = order[torch.argsort(values[order], stable=True)]
    return order

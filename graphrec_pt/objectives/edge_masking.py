"""Edge masking: hide edges in sequences, and draw negative ends of edges."""

from dataclasses import replace

import torch
from torch import Tensor

from graphrec_pt.core.key import Key
from graphrec_pt.graph.graph import Graph
from graphrec_pt.kernels.csr import NO_TIME
from graphrec_pt.kernels.negative import negative
from graphrec_pt.objectives.masking import first_occurrence, masked_out
from graphrec_pt.tokens.kind import Kind
from graphrec_pt.tokens.tokens import Tokens


def links(tokens: Tokens) -> Tensor:
    """Return the node tokens whose parent is in the sequence over a known edge: bool ``[T]``."""
    return _joined(tokens) & (tokens.relation >= 0)


def pair_of_link(tokens: Tokens) -> Tensor:
    """Return one number for the two ends of each link, whichever comes first: int64 ``[T]``.

    Equal numbers are the same two nodes in the same sequence; −1 where no node leads to a node.
    """
    first, before = first_occurrence(tokens), tokens.parents().clamp(min=0)
    places = torch.arange(len(first), device=first.device)
    return torch.where(_joined(tokens), _pair(first, before, places), -1)


def same_nodes(first: Tensor, chosen: Tensor) -> Tensor:
    """Return every token of the nodes of some tokens: bool ``[T]``.

    Args:
        first: int64 ``[T]`` of :func:`~graphrec_pt.objectives.masking.first_occurrence`.
        chosen: bool ``[T]``.
    """
    marked = torch.zeros_like(chosen)
    marked[first[chosen]] = True
    return marked[first]


def without_edges(tokens: Tokens, chosen: Tensor) -> Tokens:
    """Return tokens with all edges between the two ends of some links removed.

    Every edge between the two nodes goes, under any relation, in either direction and in every
    slot: the link (parent, relation and time of the token), the relation token before it and the
    rows of `edges`.

    Args:
        tokens: B sequences.
        chosen: bool ``[T]``, some of :func:`links`.
    """
    first, before = first_occurrence(tokens), tokens.parents().clamp(min=0)
    places = torch.arange(len(first), device=first.device)
    near = torch.zeros_like(chosen)  # nodes at either end: only these need a closer look
    near[first[places[chosen]]] = near[first[before[chosen]]] = True
    near = near[first]
    hidden = _pair(first, before[chosen], places[chosen])
    gone = _joined(tokens) & near
    gone &= near[before] if len(before) else gone
    at = gone.nonzero().squeeze(1)
    gone[at] = torch.isin(_pair(first, before[at], at), hidden)
    written = torch.zeros_like(gone)  # a relation token stands before the node that it leads to
    written[:-1] = gone[1:] & (tokens.parent[:-1] == tokens.parent[1:])
    written &= tokens.kind == Kind.RELATION
    edges = tokens.edges
    if edges is not None and len(edges):
        among = near[edges[:, 0]] & near[edges[:, 2]]
        row = among.nonzero().squeeze(1)
        shown = torch.isin(_pair(first, edges[row, 0], edges[row, 2]), hidden)
        edges = edges[torch.ones_like(among).index_fill(0, row[shown], False)]
    return replace(
        masked_out(tokens, written),
        parent=torch.where(gone, -1, tokens.parent),
        relation=torch.where(gone, -1, tokens.relation),
        time=torch.where(gone, NO_TIME, tokens.time),
        edges=edges,
    )


def without_relations(tokens: Tokens) -> Tokens:
    """Return tokens that show no relation: relations, times and edges are removed."""
    written = tokens.kind == Kind.RELATION
    return replace(
        masked_out(tokens, written),
        relation=torch.full_like(tokens.relation, -1),
        time=torch.full_like(tokens.time, NO_TIME),
        edges=None,
    )


def without_slots(tokens: Tokens) -> Tokens:
    """Return tokens whose slots are hidden.

    Every slot becomes 0; if only some were hidden, the others would give them away. In sequences
    that had slots the position becomes the hop, because the tokens stand there slot by slot.
    """
    slotted = torch.zeros_like(tokens.ptr[1:]).index_add_(0, tokens.sequence_of(), tokens.slot) > 0
    position = torch.where(slotted[tokens.sequence_of()], tokens.hop.clamp(min=0), tokens.position)
    return replace(tokens, slot=torch.zeros_like(tokens.slot), position=position)


def structured_negatives(
    graph: Graph, source: Tensor, relation: Tensor, count: int, key: Key, item: Tensor
) -> Tensor:
    """Return nodes of the type that a relation leads to, none of which it leads a source to.

    Args:
        graph: Whose edges are true.
        source: int64 ``[n]`` global ids.
        relation: int64 ``[n]``, leaves the type of the source; −1 asks for nothing.
        count: Nodes for each.
        key: Names the draws.
        item: int64 ``[n]`` below 2**32, whose draws they are.

    Returns:
        int64 ``[n, count]`` global ids, −1 for none.
    """
    schema = graph.schema
    slot = torch.tensor([schema.slot(each.name) for each in schema.relations])
    leads_to = torch.tensor([schema.node_index(each.target) for each in schema.relations])
    kind = torch.where(relation < 0, -1, leads_to[relation])
    negatives = torch.full((len(source), count), -1, dtype=torch.int64)
    for index in torch.unique(kind[kind >= 0]).tolist():
        rows = (kind == index).nonzero().squeeze(1)
        among = graph.nodes(schema.nodes[index].name)
        negatives[rows] = negative(
            graph.csr,
            source[rows],
            slot[relation[rows]],
            count,
            key,
            low=among.start,
            high=among.stop,
            item=item[rows],
        )
    return negatives


def _joined(tokens: Tokens) -> Tensor:
    before, is_node = tokens.parents(), tokens.kind == Kind.NODE
    return (before >= 0) & is_node & is_node[before.clamp(min=0)] if len(before) else is_node


def _pair(first: Tensor, one: Tensor, other: Tensor) -> Tensor:
    one, other = first[one], first[other]
    return torch.minimum(one, other) * len(first) + torch.maximum(one, other)

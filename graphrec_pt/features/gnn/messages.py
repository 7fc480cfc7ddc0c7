"""Edges as a sparse matrix for message passing: receivers are rows, senders are columns."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from graphrec_pt.features.gnn.network import GraphNetwork, chosen
from graphrec_pt.graph.graph import Graph
from graphrec_pt.graph.spec import GraphSpec
from graphrec_pt.kernels.sparse import owners, spmm


class Incoming(NamedTuple):
    """A sparse matrix whose row *i* holds the messages that *i* receives."""

    ptr: Tensor  # int64 [M+1]
    column: Tensor  # int32 [E], who sends


class Messages(NamedTuple):
    """The edges of several relations, with one sender for each (relation, source) that has edges.

    The message of a source under a relation is computed once for all its targets. Senders ascend
    by (relation, source).
    """

    incoming: Incoming  # [N, M]
    relation: Tensor  # int64 [E], index of each edge's relation in `names`
    node: Tensor  # int32 [M], source of each sender
    sizes: list[int]  # senders of each relation


def incoming(target: Tensor, sender: Tensor, rows: int) -> tuple[Incoming, Tensor]:
    """Return edges by rising target, and the former place of each: int64 ``[E]``.

    Args:
        target: int64 ``[E]``, below `rows`.
        sender: int64 ``[E]``.
        rows: Number of possible targets.
    """
    order = torch.sort(target, stable=True).indices
    ptr = target.new_zeros(rows + 1)
    torch.cumsum(torch.bincount(target, minlength=rows), 0, out=ptr[1:])
    return Incoming(ptr, sender[order].int()), order


def messages(graph: Graph, names: Sequence[str]) -> Messages:
    """Return the edges of relations; messages travel from their sources to their targets."""
    targets, senders, places, nodes = [], [], [], []
    sizes: list[int] = []
    for place, name in enumerate(names):
        edges = graph.edges(name)  # by rising source
        node, local = torch.unique_consecutive(edges.source, return_inverse=True)
        targets.append(edges.target)
        senders.append(local + sum(sizes))
        places.append(torch.full_like(local, place))
        nodes.append(node)
        sizes.append(len(node))
    matrix, order = incoming(torch.cat(targets), torch.cat(senders), graph.num_nodes())
    return Messages(matrix, torch.cat(places)[order], torch.cat(nodes).int(), sizes)


def counts(edges: Messages) -> Tensor:
    """Return how many edges of its own relation each edge's target receives: int64 ``[E]``."""
    target = owners(edges.incoming.ptr, len(edges.relation))
    slot = target * len(edges.sizes) + edges.relation
    _, place, count = torch.unique(slot, return_inverse=True, return_counts=True)
    received: Tensor = count[place]
    return received


def by_head(edges: Incoming, heads: int) -> Incoming:
    """Return the matrix in which every head of a node is a node of its own.

    Head *h* of node *n* is row (column) ``n · H + h``, as in ``x.view(N · H, C)`` for vectors
    ``[N, H · C]``.
    """
    degree = edges.ptr.diff().repeat_interleave(heads)  # [M · H]
    ptr = torch.cat([degree.new_zeros(1), degree.cumsum(0)])
    row = owners(ptr, len(edges.column) * heads)  # [E · H]
    entry = torch.arange(len(row)) - ptr[row] + edges.ptr[row // heads]
    return Incoming(ptr, (edges.column[entry] * heads + row % heads).int())


class RelationalNetwork(GraphNetwork):
    """A network that maps the vectors of each relation's sources before it sends them.

    Args:
        who: Registered name, for errors.
        spec: Of the graph.
        width: D.
        relations: Names; None for all.
    """

    ptr: Tensor
    column: Tensor
    each: Tensor
    node: Tensor

    def __init__(self, who: str, spec: GraphSpec, width: int, relations: list[str] | None) -> None:
        super().__init__(who, spec, width)
        self.relations = chosen(who, spec, relations)
        self.sizes: list[int] = []

    def keep_messages(self, found: Messages, edges: Incoming) -> None:
        """Keep the senders, and edges from them."""
        each = torch.arange(len(found.node) + 1)
        self.keep(ptr=edges.ptr, column=edges.column, each=each, node=found.node)
        self.sizes = found.sizes

    def sent(self, x: Tensor) -> tuple[Tensor, ...]:
        """Return the vectors of each relation's sources: ``[M_r, D]`` each, for ``[N, D]``."""
        # A product with one entry per row, so that the backward pass is a sparse product as well.
        return spmm(self.each, self.node, None, x).split_with_sizes(self.sizes)

"""Edges of nodes, and edges inside sequences, without the excluded edge of a training example."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from graphrec_pt.graph.graph import Graph
from graphrec_pt.graph.schema import Relation
from graphrec_pt.kernels.adjacency import induce
from graphrec_pt.kernels.torch.segments import ranges


def relations_of(graph: Graph, position: Tensor, source: Tensor) -> Tensor:
    """Return the relation index of each edge, −1 for position −1.

    Args:
        graph: The graph.
        position: int64, any shape.
        source: int64 of the same shape, the node each edge leaves.
    """
    relation = torch.full_like(position, -1)
    taken = position >= 0
    relation[taken] = graph.relation_of(position[taken], source[taken])
    return relation


def places_of(
    graph: Graph, position: Tensor, source: Tensor, relations: Sequence[Relation]
) -> Tensor:
    """Return 1 + the place of each edge's relation among the given ones: int64 ``[n]``."""
    index = relations_of(graph, position, source)
    place = torch.zeros_like(index)
    for number, relation in enumerate(relations, 1):
        place[index == graph.schema.relation_index(relation.name)] = number
    return place


def segment_edges(
    graph: Graph, nodes: Tensor, relation: str, exclude: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Return every edge of the given nodes under a relation that leaves their type.

    Returns:
        int64 positions ``[n]`` in stored order, and int64 ``[n]`` the row of `nodes` of each.
    """
    segment = graph.csr.first_segment(nodes) + graph.schema.slot(relation)
    low, high = graph.csr.segment[segment], graph.csr.segment[segment + 1]
    return without(graph, *ranges(low, high - low), exclude)


def without(
    graph: Graph, position: Tensor, row: Tensor, exclude: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Return the edges that are not the excluded one of their row."""
    if exclude is None or graph.csr.edge is None:
        return position, row
    banned = exclude[row]
    kept = (banned < 0) | (graph.csr.edge[position] != banned)
    return position[kept], row[kept]


class Inner(NamedTuple):
    """Edges inside sequences: tokens and positions, ordered by sequence, source and slot."""

    node: Tensor  # int64 [M], the source's global id
    source: Tensor  # int64 [M], token of the batch
    target: Tensor  # int64 [M], token of the batch
    position: Tensor  # int64 [M]


def inner_edges(graph: Graph, node: Tensor, ptr: Tensor, exclude: Tensor | None) -> Inner:
    """Return the edges among the nodes of each sequence, without its excluded edge."""
    induced = induce(graph.csr, node, ptr)
    rows = torch.arange(len(ptr) - 1, device=ptr.device).repeat_interleave(induced.ptr.diff())
    source, target = induced.edges[:, 0] + ptr[rows], induced.edges[:, 2] + ptr[rows]
    position = induced.position
    if exclude is not None and graph.csr.edge is not None:
        kept = (exclude[rows] < 0) | (graph.csr.edge[position] != exclude[rows])
        source, target, position = source[kept], target[kept], position[kept]
    return Inner(node[source], source, target, position)


def edge_rows(graph: Graph, inner: Inner) -> Tensor:
    """Return inner edges as ``Subgraphs.edges``: int64 ``[M, 3]``."""
    relation = relations_of(graph, inner.position, inner.node)
    return torch.stack([inner.source, relation, inner.target], dim=1)

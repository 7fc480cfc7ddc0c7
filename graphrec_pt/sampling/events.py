"""The edges of roots in time order: what histories and sessions are made of."""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.graph.graph import Graph
from graphrec_pt.graph.schema import Relation
from graphrec_pt.kernels.csr import NO_TIME
from graphrec_pt.kernels.torch.segments import lower_bound, ranges
from graphrec_pt.sampling.edges import without

Before = int | Literal["exclude"] | None
"""A time in the graph's unit, or the time of each root's excluded edge, or no bound."""

FOREVER = torch.iinfo(torch.int64).max
_SPARE = 2  # an excluded id stands at most twice among a node's edges: an edge and its inverse


def bounds_in_time(
    who: str, graph: Graph, roots: Tensor, before: Before, exclude: Tensor | None
) -> Tensor | None:
    """Return the time below which the edges of each root must lie: int64 ``[B]``, or None.

    With ``"exclude"`` it is the time of the root's own excluded edge; a root without one, or
    whose edge is not in the graph or has no time, has no bound.
    """
    if before is None:
        return None
    if graph.csr.time is None:
        raise GraphRecError(who, "a graph with times for `before`", "none", "leaving it out")
    if before != "exclude":
        return torch.full_like(roots, before)
    bound = torch.full_like(roots, FOREVER)
    if exclude is None or graph.csr.edge is None:
        return bound
    low, high = graph.csr.bounds(roots)
    position, row = ranges(low, high - low)
    found = (graph.csr.edge[position] == exclude[row]) & (exclude[row] >= 0)
    found &= graph.csr.time[position] != NO_TIME
    return bound.scatter_reduce(0, row[found], graph.csr.time[position[found]], "amin")


def last_events(
    graph: Graph,
    roots: Tensor,
    relations: Sequence[Relation],
    window: int,
    bound: Tensor | None,
    exclude: Tensor | None,
) -> tuple[Tensor, Tensor]:
    """Return the last edges of each root, oldest first.

    Equal times keep the order of the relations, then the stored one.

    Args:
        graph: The graph, with times.
        roots: int64 ``[B]`` of the type that the relations leave.
        relations: Timed relations.
        window: Edges per root at most.
        bound: int64 ``[B]``, only edges whose time is below, or None.
        exclude: int64 ``[B]`` edge ids or None.

    Returns:
        int64 positions ``[n]`` and int64 rows ``[n]``, rows ascending.
    """
    csr = graph.csr
    assert csr.time is not None
    positions, rows = [], []
    for relation in relations:
        segment = csr.first_segment(roots) + graph.schema.slot(relation.name)
        low, high = csr.segment[segment], csr.segment[segment + 1]
        if bound is not None:
            high = lower_bound(csr.time, low, high, bound)
        low = torch.maximum(low, high - window - _SPARE)
        position, row = without(graph, *ranges(low, high - low), exclude)
        positions.append(position)
        rows.append(row)
    position, row = torch.cat(positions), torch.cat(rows)
    if len(relations) > 1:
        order = torch.sort(csr.time[position], stable=True).indices
        order = order[torch.sort(row[order], stable=True).indices]
        position, row = position[order], row[order]
    count = torch.bincount(row, minlength=len(roots))
    left = count.cumsum(0)[row] - torch.arange(len(row), device=row.device)  # 1 for the last
    return position[left <= window], row[left <= window]

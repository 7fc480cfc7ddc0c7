"""Histories and sessions: the latest events of a node in the order of time.

Relations must have times, by which the graph stores their edges in order: reading the latest of
one relation costs one slice per root, and several relations are merged by a sort.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.core.key import Key
from graphrec_pt.graph.graph import Graph
from graphrec_pt.graph.schema import Relation
from graphrec_pt.kernels.csr import NO_TIME
from graphrec_pt.kernels.torch.segments import lower_bound, ranges
from graphrec_pt.sampling.edges import edge_rows, inner_edges, places_of, without
from graphrec_pt.sampling.sample import Subgraphs
from graphrec_pt.sampling.sampler import check_exclude, check_relations, check_roots, sampler
from graphrec_pt.sampling.tree_batch import plant

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
    excluded = (graph.csr.edge[position] == exclude[row]) & (exclude[row] >= 0)
    excluded &= graph.csr.time[position] != NO_TIME
    return bound.scatter_reduce(0, row[excluded], graph.csr.time[position[excluded]], "amin")


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


@sampler("history")
class HistorySampler:
    """The last events of a root, oldest first: the input of sequential recommenders.

    A sequence is the root and up to `window` neighbours, ascending by time (equal times in stored
    order), all with the root as parent. The slot of a neighbour is 1 + the place of its relation
    in `relations`. Nothing is drawn.

    Args:
        relations: Timed relations that leave one type, merged into one history; by default the
            first interaction relation.
        window: Events at most, the latest ones.
        before: Keep events strictly before this time; ``"exclude"``: before the excluded edge of
            each root, so that a training example sees only its past.
        edges: Also return the edges among the sampled nodes, which may bias attention. Relations
            derived from the events of a history join what stands side by side in it.
    """

    relations: tuple[str, ...] | None = None
    window: int = Field(50, ge=1)
    before: Before = None
    edges: bool = False

    def sample(
        self, graph: Graph, roots: Tensor, key: Key, exclude: Tensor | None = None
    ) -> Subgraphs:
        """Return the histories of roots of the type that the relations leave."""
        relations = check_relations("history", graph.schema, self.relations, timed=True)
        roots = check_roots("history", graph, roots, relations[0].source)
        exclude = check_exclude("history", graph, len(roots), exclude)
        bound = bounds_in_time("history", graph, roots, self.before, exclude)
        position, row = last_events(graph, roots, relations, self.window, bound, exclude)
        slot = places_of(graph, position, roots[row], relations)
        sample = plant(roots).grow(graph, row, position, slot).pack(graph, len(roots))
        if not self.edges:
            return sample
        inner = inner_edges(graph, sample.node, sample.ptr, exclude)
        return replace(sample, edges=edge_rows(graph, inner))


@sampler("session")
class SessionSampler:
    """The latest sessions of a root, oldest event first.

    Two events in a row belong to one session when at most `gap` lies between them. The slot of an
    event counts its session backwards: 1 is the latest. Where sessions are nodes of their own,
    take them as roots and leave `gap` out: all of a root's events are one session.

    Args:
        relations: Timed relations that leave one type; by default the first interaction relation.
        gap: Longest pause inside a session, in the graph's unit of time.
        sessions: How many of the latest sessions to return.
        window: Events at most, the latest ones.
        before: As for the history sampler.
    """

    relations: tuple[str, ...] | None = None
    gap: int | None = Field(None, ge=0)
    sessions: int = Field(1, ge=1)
    window: int = Field(50, ge=1)
    before: Before = None

    def sample(
        self, graph: Graph, roots: Tensor, key: Key, exclude: Tensor | None = None
    ) -> Subgraphs:
        """Return the sessions of roots of the type that the relations leave."""
        relations = check_relations("session", graph.schema, self.relations, timed=True)
        roots = check_roots("session", graph, roots, relations[0].source)
        exclude = check_exclude("session", graph, len(roots), exclude)
        bound = bounds_in_time("session", graph, roots, self.before, exclude)
        position, row = last_events(graph, roots, relations, self.window, bound, exclude)
        number = self._number(graph, position, row)
        kept = number <= self.sessions
        forest = plant(roots).grow(graph, row[kept], position[kept], number[kept])
        return forest.pack(graph, len(roots))

    def _number(self, graph: Graph, position: Tensor, row: Tensor) -> Tensor:
        """Return how many sessions from the end each event lies: int64 ``[n]``, from 1."""
        if self.gap is None or not len(row):
            return torch.ones_like(row)
        assert graph.csr.time is not None
        time = graph.csr.time[position]
        pause = torch.zeros_like(row)
        pause[:-1] = (time[1:] - self.gap > time[:-1]) & (row[1:] == row[:-1])
        after = pause.flip(0).cumsum(0).flip(0)  # pauses from here to the end of the batch
        last = torch.searchsorted(row, row, right=True) - 1
        return 1 + after - after[last]

"""Histories cut into sessions by pauses."""

import torch
from pydantic import Field
from torch import Tensor

from graphrec_pt.core.key import Key
from graphrec_pt.graph.graph import Graph
from graphrec_pt.sampling.checks import check_exclude, check_relations, check_roots
from graphrec_pt.sampling.events import Before, bounds_in_time, last_events
from graphrec_pt.sampling.forest import plant
from graphrec_pt.sampling.sample import Subgraphs
from graphrec_pt.sampling.sampler import sampler


@sampler("session")
class Session:
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

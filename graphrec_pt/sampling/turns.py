"""What a dialogue named before a turn: the nodes that its context or its earlier turns mention."""

from typing import NamedTuple

import torch
from pydantic import Field
from torch import Tensor

from graphrec_pt.core.errors import GraphRecError, did_you_mean
from graphrec_pt.graph.graph import Graph
from graphrec_pt.graph.schema import Schema, Strict
from graphrec_pt.sampling.edges import segment_edges


class Named(NamedTuple):
    """Nodes named before some turns, the latest mention of each.

    Args:
        row: int64 ``[n]``, the turn, ascending.
        node: int64 ``[n]`` global ids, different within a turn, the latest mention first.
        place: int64 ``[n]``, from 0 for the latest mention of the turn.
    """

    row: Tensor
    node: Tensor
    place: Tensor


class Context(Strict):
    """The relations that say what was named in a dialogue before a turn.

    Args:
        mentions: Relations from a turn to what it names.
        previous: Relation from a turn to the one before it. With it, what the earlier turns
            mention was named before, and what the turn itself mentions was not; without it, the
            turn's own mentions are those of its context (OpenDialKG).
        turns: Earlier turns that are read at most.
    """

    mentions: tuple[str, ...] = Field(("mentions",), min_length=1)
    previous: str | None = None
    turns: int = Field(100, ge=1)

    def check(self, schema: Schema, source: str) -> None:
        """Raise unless the relations leave the turns.

        Args:
            schema: Of the graph.
            source: Node type of the turns.
        """
        for name in (*self.mentions, *(() if self.previous is None else (self.previous,))):
            leaving = [each.name for each in schema.leaving(source)]
            if name not in leaving:
                hint = did_you_mean(name, leaving) or f"one of {', '.join(leaving)}"
                expected = f"a relation that leaves the turns ({source!r})"
                raise GraphRecError("conversation", expected, repr(name), hint)

    def named(self, graph: Graph, nodes: Tensor) -> Named:
        """Return what was named before each turn.

        Args:
            graph: What may be seen.
            nodes: int64 ``[B]`` global ids of turns.
        """
        row = torch.arange(len(nodes))
        turn, of = (nodes, row) if self.previous is None else (nodes[:0], row[:0])
        spoken, owner, back = [turn], [of], [torch.zeros_like(of)]
        front, front_row = nodes, row
        for step in range(1, self.turns + 1 if self.previous is not None else 1):
            position, at = segment_edges(graph, front, str(self.previous))
            front, front_row = graph.csr.indices[position].long(), front_row[at]
            if not len(front):
                break
            spoken.append(front)
            owner.append(front_row)
            back.append(torch.full_like(front_row, step))
        turn, of, ago = torch.cat(spoken), torch.cat(owner), torch.cat(back)
        targets, rows, steps, order = [], [], [], []
        for relation in self.mentions:
            position, at = segment_edges(graph, turn, relation)
            targets.append(graph.csr.indices[position].long())
            rows.append(of[at])
            steps.append(ago[at])
            order.append(_moment(graph, relation, position))
        node, row, turns_back, number = (torch.cat(each) for each in (targets, rows, steps, order))
        latest = _order(row, turns_back, -number)
        node, row = node[latest], row[latest]
        first = _first_of(row * graph.num_nodes() + node)
        node, row = node[first], row[first]
        start = torch.searchsorted(row, torch.arange(len(nodes)))
        return Named(row, node, torch.arange(len(row)) - start[row])

    def items(self, graph: Graph, relation: str, nodes: Tensor) -> tuple[Tensor, Tensor]:
        """Return the candidates that were named before each turn, as ``seen_pairs`` does.

        Returns:
            ptr int64 ``[B+1]`` and int64 ``[S]`` candidates, counted from the first of their type
            and ascending for each turn.
        """
        among = graph.nodes(graph.schema.relation(relation).target)
        named = self.named(graph, nodes)
        inside = (named.node >= among.start) & (named.node < among.stop)
        row, column = named.row[inside], named.node[inside] - among.start
        order = torch.argsort(row * len(among) + column)
        counts = torch.bincount(row, minlength=len(nodes))
        return torch.cat([counts.new_zeros(1), counts.cumsum(0)]), column[order]


def _moment(graph: Graph, relation: str, position: Tensor) -> Tensor:
    """Return numbers that grow with the time of a mention; by stored order without times."""
    time = graph.csr.time if graph.schema.relation(relation).timed else None
    return position if time is None else time[position]


def _order(*keys: Tensor) -> Tensor:
    """Return the order by several keys, the first one most important."""
    order = torch.arange(len(keys[0]))
    for key in reversed(keys):
        order = order[torch.argsort(key[order], stable=True)]
    return order


def _first_of(name: Tensor) -> Tensor:
    """Return the places of the first occurrence of each value, ascending."""
    order = torch.argsort(name, stable=True)
    fresh = torch.ones_like(order, dtype=torch.bool)
    fresh[1:] = name[order][1:] != name[order][:-1]
    return torch.sort(order[fresh]).values

"""What a sample offers to the slots of a phrase: roots, their histories, paths, candidates."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import polars as pl
import torch
from torch import Tensor

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.core.key import Key, draw32
from graphrec_pt.core.memo import Memo
from graphrec_pt.graph.graph import Graph
from graphrec_pt.graph.schema import Relation
from graphrec_pt.kernels.csr import NO_TIME
from graphrec_pt.sampling.edges import segment_edges
from graphrec_pt.sampling.sample import Paths, Sample, Subgraphs
from graphrec_pt.tokens.spelling import Members, number_text
from graphrec_pt.tokens.subgraphs import times_of

_events: Memo[Tensor] = Memo()  # of a graph
DRAWS = 512
"""Draws of one sequence at most: candidates and the choice of the phrase."""


@dataclass(frozen=True, eq=False)
class Occasion:
    """The n sequences of a sample, one for each root of Subgraphs and for each of Paths.

    Args:
        graph: The graph that was sampled.
        relation: The interaction whose pairs are asked about.
        key: Names the draws.
        members: Every sampled node, roots first; the nodes of a path in their order.
        beside: bool ``[E]``, which of them are one step from the first root.
        first: int64 ``[n]``, the first node of each sequence, −1 for an empty one.
        pair: int64 ``[n, 2]``, source and target of the pair that each sequence asks about, −1 for
            none: the first two roots, or both ends of a path.
        number: int64 ``[n]``, what tells sequences of one first node apart.
    """

    graph: Graph
    relation: Relation
    key: Key
    members: Members
    beside: Tensor
    first: Tensor
    pair: Tensor
    number: Tensor

    @classmethod
    def of(cls, graph: Graph, sample: Sample, relation: Relation, key: Key) -> "Occasion":
        """Return the sequences of a sample."""
        members = _members(graph, sample)
        first = _nth(members, 0)
        if isinstance(sample, Paths):
            count = torch.bincount(sample.root, minlength=sample.size)
            number = torch.arange(len(sample)) - (count.cumsum(0) - count)[sample.root]
            length = sample.length.clamp(min=0)
            last = sample.nodes.gather(1, length.unsqueeze(1)).squeeze(1)
            second = torch.where(length > 0, last, -1)
            beside = members.hop == 1
        else:
            second = _nth(members, 1, roots=True)
            number = second.clamp(min=0)
            beside = (members.hop == 1) & (sample.parent == 0)
        source, target = graph.nodes(relation.source), graph.nodes(relation.target)
        fits = (first >= source.start) & (first < source.stop)
        fits &= (second >= target.start) & (second < target.stop)
        pair = torch.where(fits.unsqueeze(1), torch.stack([first, second], dim=1), -1)
        beside &= members.node != pair[members.owner, 1]
        return cls(graph, relation, key, members, beside, first, pair, number)

    @property
    def size(self) -> int:
        """The number of sequences."""
        return len(self.first)

    def take(self, rows: Tensor) -> "Occasion":
        """Return some of the sequences: int64 ``[k]``, ascending."""
        place = torch.full_like(self.first, -1)
        place[rows] = torch.arange(len(rows))
        owner = place[self.members.owner]
        kept = owner >= 0
        members = replace(self.members.take(kept), owner=owner[kept], size=len(rows))
        return replace(
            self,
            members=members,
            beside=self.beside[kept],
            first=self.first[rows],
            pair=self.pair[rows],
            number=self.number[rows],
        )

    def of_type(self, node_type: str) -> Members:
        """Return the first node of a type of each sequence that has one."""
        owned, every = self.graph.nodes(node_type), self.members
        chosen = every.take((every.node >= owned.start) & (every.node < owned.stop))
        return chosen.take(chosen.rank() == 0)

    def reached(self, relations: Sequence[str], longest: int, latest_first: bool) -> Members:
        """Return the nodes that some relations reached, by default the neighbours of the roots.

        Args:
            relations: Their names; none for whatever is one step from the first root, in the
                order of time.
            longest: Members at most, the latest ones.
            latest_first: Return the latest first.
        """
        every = self.members
        if relations:
            known = [self.graph.schema.relation_index(name) for name in relations]
            chosen = torch.isin(every.relation, every.relation.new_tensor(known))
        else:
            chosen = self.beside
        found = every.take(chosen)
        order = torch.argsort(found.time, stable=True)
        found = found.take(order[torch.argsort(found.owner[order], stable=True)])
        count = torch.bincount(found.owner, minlength=found.size)
        found = found.take(found.rank() >= (count - longest)[found.owner])
        if latest_first:
            back = torch.argsort(found.owner * (len(found.owner) + 1) - found.rank(), stable=True)
            found = found.take(back)
        return found

    def weights(self) -> list[str]:
        """Return the weight of each pair's edge as text, the latest one; empty for none."""
        csr = self.graph.csr
        position = self._edge
        if csr.weight is None:
            return [""] * self.size
        weight = csr.weight[position.clamp(min=0)].tolist()
        known = (position >= 0).tolist()
        return [number_text(w) if k else "" for w, k in zip(weight, known, strict=True)]

    def event(self) -> Members:
        """Return the event node of each pair's edge, where it has one."""
        graph, relation = self.graph, self.relation
        assert relation.event is not None
        position = self._edge
        row = (position >= 0).nonzero().squeeze(1)
        at = position[row]
        edge = at if graph.csr.edge is None else graph.csr.edge[at].long()
        events = _events(graph, relation.name, lambda: _column_of_events(graph, relation.name))
        event = events[edge - graph.edge_offset[relation.name]]
        row, event = row[event >= 0], event[event >= 0] + graph.nodes(relation.event).start
        none = torch.full_like(row, -1)
        return Members(event, row, self.size, none, none, torch.full_like(row, NO_TIME))

    @cached_property
    def _edge(self) -> Tensor:
        """Where the latest edge of each pair is stored, −1 for none: int64 ``[n]``."""
        row = (self.pair[:, 0] >= 0).nonzero().squeeze(1)
        source, target = self.pair[row, 0], self.pair[row, 1]
        position, owner = segment_edges(self.graph, source, self.relation.name)
        same = self.graph.csr.indices[position].long() == target[owner]
        found = torch.full((self.size,), -1, dtype=torch.int64)
        return found.scatter_reduce(0, row[owner[same]], position[same], "amax")

    def bits(self, purpose: str, draws: int = 1) -> Tensor:
        """Return 32 random bits of each sequence and draw: int64 ``[n, draws]``.

        They depend on the first two roots of a sequence, and for paths on its place among those
        of its root.
        """
        item = self.first.clamp(min=0).cpu().numpy()
        draw = (self.number.cpu().numpy()[:, None] % (1 << 25)) * DRAWS + np.arange(draws)
        bits = draw32(self.key.named(purpose), item[:, None], draw)
        return torch.from_numpy(bits.astype(np.int64)).to(self.first.device)

    def candidates(self, count: int) -> Members:
        """Return the target of each pair among random nodes of its type, in a random order.

        Nodes of the sample are no negatives. Without a target, all are random.

        Args:
            count: Candidates of each sequence, the target included; fewer in a small catalogue.
        """
        if not 2 <= count <= DRAWS // 4:
            raise GraphRecError("slot candidates", f"count from 2 to {DRAWS // 4}", count)
        owned = self.graph.nodes(self.relation.target)
        target = self.pair[:, 1]
        bits = self.bits("verbalizer.candidates", 2 * count)
        drawn = owned.start + ((bits * len(owned)) >> 32)  # [n, 2 · count]
        width = 2 * count
        owner = torch.arange(self.size).repeat_interleave(width)
        node = drawn.flatten()
        nodes = self.graph.num_nodes()
        known = torch.isin(owner * nodes + node, self.members.owner * nodes + self.members.node)
        pair = torch.where(known, -1, owner * nodes + node)
        fresh = _first_of(pair) & ~known
        some = (target >= 0).long()
        rank = (fresh.long().cumsum(0) - fresh.long()).view(self.size, width)
        rank = (rank - rank[:, :1]).flatten()
        kept = fresh & (rank < count - some[owner])
        row = torch.cat([some.nonzero().squeeze(1), owner[kept]])
        chosen = torch.cat([target[some > 0], node[kept]])
        place = self.bits("verbalizer.order", width + 1)  # a random key for each candidate
        keys = torch.cat([place[some > 0, width], place[:, :width].flatten()[kept]])
        order = torch.argsort(keys, stable=True)
        order = order[torch.argsort(row[order], stable=True)]
        return self._plain(chosen[order], row[order])

    def candidate(self) -> tuple[Members, list[str]]:
        """Return the target of each pair or, as likely, a random node; and whether it is it.

        Returns:
            The nodes, and ``yes`` or ``no`` for each sequence, empty without a target.
        """
        owned = self.graph.nodes(self.relation.target)
        target = self.pair[:, 1]
        bits = self.bits("verbalizer.candidate", 2)
        true = bits[:, 0] < 1 << 31
        other = owned.start + ((bits[:, 1] * len(owned)) >> 32)
        shown = torch.where(true & (target >= 0), target, other)
        right = (shown == target).tolist()
        there = (target >= 0).tolist()
        answers = ["" if not t else "yes" if r else "no" for r, t in zip(right, there, strict=True)]
        return self._plain(shown, torch.arange(self.size)), answers

    def targets(self, node_type: str) -> Tensor:
        """Return the node of a type that is asked for, −1 for none: int64 ``[n]``."""
        owned = self.graph.nodes(node_type)
        target = self.pair[:, 1]
        return torch.where((target >= owned.start) & (target < owned.stop), target, -1)

    def _plain(self, node: Tensor, owner: Tensor) -> Members:
        none = torch.full_like(node, -1)
        return Members(node, owner, self.size, none, none, torch.full_like(node, NO_TIME))


def _members(graph: Graph, sample: Sample) -> Members:
    """Return every sampled node with its columns."""
    if isinstance(sample, Subgraphs):
        time = times_of(graph, sample.position)
        columns = sample.hop, sample.relation, time
        return Members(sample.node, sample.row(), len(sample), *columns)
    owner, step = (sample.nodes >= 0).nonzero(as_tuple=True)
    relation, time = torch.full_like(owner, -1), torch.full_like(owner, NO_TIME)
    if sample.relations.shape[1]:
        before, later = (step - 1).clamp(min=0), step > 0
        relation = torch.where(later, sample.relations[owner, before], -1)
        times = times_of(graph, sample.position[owner, before])
        time = torch.where(later, times, NO_TIME)
    return Members(sample.nodes[owner, step], owner, len(sample), step, relation, time)


def _nth(every: Members, place: int, *, roots: bool = False) -> Tensor:
    """Return the node at a place of each sequence, −1 for none: int64 ``[n]``."""
    chosen = every.rank() == place
    if roots:
        chosen &= every.hop == 0
    found = torch.full((every.size,), -1, dtype=torch.int64)
    found[every.owner[chosen]] = every.node[chosen]
    return found


def _column_of_events(graph: Graph, relation: str) -> Tensor:
    """Return the place of the event node of each edge of a relation, −1 for none."""
    column: pl.Series = graph.edge_tables[relation]["event"]
    return column.fill_null(-1).to_torch().long()


def _first_of(values: Tensor) -> Tensor:
    """Return whether each value is the first of its kind: bool ``[n]``."""
    _, group = torch.unique(values, return_inverse=True)
    place = torch.arange(len(values))
    first = torch.full((int(group.max()) + 1 if len(group) else 0,), len(values))
    first = first.scatter_reduce(0, group, place, "amin")
    return first[group] == place

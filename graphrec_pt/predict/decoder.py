"""Beam search over paths of a path language model, restricted to the allowed next tokens."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from math import log

import torch
from torch import Tensor
from torch.nn.functional import log_softmax

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.graph.schema import Relation
from graphrec_pt.kernels.torch.segments import ranges
from graphrec_pt.models.view import View
from graphrec_pt.objectives.readout import PathReadout
from graphrec_pt.predict.reading import KEY, Reading
from graphrec_pt.predict.seen import seen_pairs
from graphrec_pt.predict.taught import Found
from graphrec_pt.sampling.sample import Paths
from graphrec_pt.tokens.path import PathLinearizer

CELLS, KEPT = 1 << 24, 1 << 26
"""Logits held at once; pairs of nodes up to which the edges of a relation are kept as a table."""


@dataclass(frozen=True, eq=False)
class Beams:
    """The unfinished paths of a beam search; the last token is a node or a relation.

    Args:
        nodes: int64 ``[n, h+1]``.
        relations: int64 ``[n, h]`` or ``[n, h+1]``.
        row: int64 ``[n]``, row of the user that each path starts from.
        score: float32 ``[n]``, log-probability.
        chance: float32 ``[n]``, sum of the probabilities of the tokens.
    """

    nodes: Tensor
    relations: Tensor
    row: Tensor
    score: Tensor
    chance: Tensor

    def __len__(self) -> int:
        """Return n."""
        return len(self.row)

    def select(self, rows: Tensor) -> "Beams":
        """Return the beams of some rows."""
        return Beams(**{name: value[rows] for name, value in vars(self).items()})

    def to(self, node: Tensor, step: Tensor) -> "Beams":
        """Return the beams with one more node each, at a log-probability of `step`."""
        nodes = torch.cat([self.nodes, node.unsqueeze(1)], dim=1)
        return Beams(nodes, self.relations, self.row, *self._scored(step))

    def by(self, relation: Tensor, step: Tensor) -> "Beams":
        """Return the beams with one more relation each, at a log-probability of `step`."""
        relations = torch.cat([self.relations, relation.unsqueeze(1)], dim=1)
        return Beams(self.nodes, relations, self.row, *self._scored(step))

    def best(self, most: int) -> "Beams":
        """Return the most probable beams of each row; ties keep their order."""
        order = torch.argsort(self.score, descending=True, stable=True)
        order = order[torch.argsort(self.row[order], stable=True)]
        row = self.row[order]
        count = torch.bincount(row)
        rank = torch.arange(len(row)) - (count.cumsum(0) - count)[row]
        return self.select(order[rank < most])

    def _scored(self, step: Tensor) -> tuple[Tensor, Tensor]:
        return self.score + step, self.chance + step.exp()


def joined(parts: Sequence[Beams]) -> Beams:
    """Return beams of equal length one after the other."""
    columns = zip(*(vars(part).values() for part in parts), strict=True)
    return Beams(*(torch.cat(column) for column in columns))


@dataclass(frozen=True, eq=False)
class Ends:
    """Paths of one length to every item.

    Args:
        beams: The paths without the last node.
        score: ``[n, V]``, log-probability of the whole path, or the mean probability of its
            generated tokens where items are ranked by that; −∞ for items that the path cannot
            end in.
    """

    beams: Beams
    score: Tensor


class PathDecoder:
    """Decodes paths with the options of :class:`~graphrec_pt.objectives.decoding.Decoding`.

    Args:
        reading: The model, in evaluation mode, and its graph.
        found: The objective whose readout decodes paths.

    Raises:
        GraphRecError: For another linearizer than ``path`` with relations as tokens.
    """

    def __init__(self, reading: Reading, found: Found) -> None:
        linearizer, readout = reading.taught.linearizer, found.readout
        if not isinstance(linearizer, PathLinearizer) or not linearizer.relations:
            got = type(linearizer).__name__
            raise GraphRecError("decode", "sentences of nodes and relations", got, "path")
        assert isinstance(readout, PathReadout)
        self.reading, self.readout, self.head = reading, readout, reading.head(found)
        self.linearizer = replace(linearizer, eos=False, join=False)  # type: ignore[type-var]
        self.history, self.wanted = reading.graph, readout.decode
        self.relation = reading.relation
        self.first = self.history.schema.relation_index(self.relation.name)
        self.items = reading.items
        self._small: dict[str, Tensor] = {}

    def ends(self, users: Tensor) -> Iterator[Ends]:
        """Yield the scores of the last items of the paths of some users, shorter paths first.

        Args:
            users: int64 ``[B]`` global ids; ``beams.row`` counts them.
        """
        unseen = self._unseen(users)
        beams = self._begin(users)
        for hop in range(1, self.wanted.hops):
            beams = self._say_relation(beams, hop)
            if hop + 1 >= self.wanted.least:
                yield from self._say_item(beams, unseen)
            if hop + 1 < self.wanted.hops:
                beams = self._say_node(beams)

    def begins(self, users: Tensor) -> Tensor:
        """Return the logits of items right after the interaction relation: ``[B, V]``."""
        hidden = self._read(self._given(users))
        return self.readout.nodes(hidden, self.reading.model, self.head, self.relation.target)

    def _given(self, users: Tensor) -> Beams:
        """Return the user and the interaction relation."""
        relations = torch.full((len(users), 1), self.first)
        none = torch.zeros(len(users))
        return Beams(users.unsqueeze(1), relations, torch.arange(len(users)), none, none)

    def _begin(self, users: Tensor) -> Beams:
        """Return paths of one hop."""
        given, decay = self._given(users), self.wanted.decay
        if decay is None:
            return self._say_node(given)
        low, high = self.history.segments(self.relation.name)
        at = users - self.history.nodes(self.relation.source).start
        position, row = ranges(low[at], (high - low)[at])
        age = high[at][row] - 1 - position
        kept = age < self.wanted.beams
        position, row, age = position[kept], row[kept], age[kept]
        weight = age * log(decay)
        total = torch.zeros(len(users)).index_add(0, row, weight.exp())
        score = weight - total[row].log()
        node = self.history.csr.indices[position].long()
        return given.select(row).to(node, score)

    def _say_relation(self, beams: Beams, hop: int) -> Beams:
        """Return beams with one more relation, among relations that can still lead to an item."""
        hidden = self._read(beams)
        logits = self.readout.relations(hidden, self.reading.model, self.head).float().cpu()
        last = beams.nodes[:, -1]
        kind = self.history.csr.node_type(last)
        allowed = self._leads[self.wanted.hops - hop - 1][kind]  # [n, R]
        if self.wanted.constrained:
            allowed = allowed & (self._degrees(last, kind) > 0)
        logp = _normalised(logits, allowed)
        which, relation = allowed.nonzero(as_tuple=True)
        step = logp[which, relation]
        return beams.select(which).by(relation, step).best(self.wanted.beams)

    def _say_node(self, beams: Beams) -> Beams:
        """Return beams with one more node."""
        parts = []
        for chosen, logits, allowed, start in self._nodes(beams):
            logp = _normalised(logits, allowed)
            best = logp.topk(min(self.wanted.beams, logp.shape[1]), dim=1)
            which, place = (best.values > -torch.inf).cpu().nonzero(as_tuple=True)
            node = best.indices.cpu()[which, place] + start
            step = best.values.cpu()[which, place]
            parts.append(chosen.select(which).to(node, step))
        if not parts:
            return beams.to(beams.nodes[:, 0], beams.score)
        return joined(parts).best(self.wanted.beams)

    def _say_item(self, beams: Beams, unseen: Tensor) -> Iterator[Ends]:
        """Yield the ends of beams whose relation leads to items."""
        table = self._targets[beams.relations[:, -1]]
        ending = beams.select((table == self._item_type).nonzero().squeeze(1))
        said_tokens = 2 * ending.relations.shape[1] - 1
        for chosen, logits, allowed, _ in self._nodes(ending):
            allowed &= unseen[chosen.row.to(unseen.device)]
            step = _normalised(logits, allowed)
            if self.wanted.score == "mean":
                chance = chosen.chance.to(step).unsqueeze(1) + step.exp()
                yield Ends(chosen, (chance / said_tokens).masked_fill(~allowed, -torch.inf))
            else:
                yield Ends(chosen, step.add_(chosen.score.to(step).unsqueeze(1)))

    def _nodes(self, beams: Beams) -> Iterator[tuple[Beams, Tensor, Tensor, int]]:
        """Yield beams of one relation, logits and allowed mask of its targets, and the first id."""
        for index in torch.unique(beams.relations[:, -1]).tolist():
            definition = self.history.schema.relations[index]
            targets = self.history.nodes(definition.target)
            same = (beams.relations[:, -1] == index).nonzero().squeeze(1)
            for part in torch.split(same, max(CELLS // max(len(targets), 1), 1)):
                chosen = beams.select(part)
                logits = self.readout.nodes(
                    self._read(chosen), self.reading.model, self.head, definition.target
                ).float()  # [n, V]
                allowed = self._edges(definition, chosen.nodes[:, -1], logits)
                before = chosen.nodes - targets.start
                visited = ((before >= 0) & (before < len(targets))).nonzero(as_tuple=True)
                place = visited[0].to(logits.device), before[visited].to(logits.device)
                allowed[place] = False
                yield chosen, logits, allowed, targets.start

    def _read(self, beams: Beams) -> Tensor:
        """Return the state after the last token of each beam: ``[n, D]``."""
        nodes, relations = beams.nodes, beams.relations
        ends_in_relation = relations.shape[1] == nodes.shape[1]  # the last token is a relation
        if ends_in_relation:
            nodes = torch.cat([nodes, nodes[:, :1]], dim=1)  # a stand-in, taken off below
        size = len(nodes)
        if not size:
            return torch.zeros(0, self.reading.model.width, device=self.reading.device)
        length = torch.full((size,), nodes.shape[1] - 1)
        unknown, none = torch.full_like(relations, -1), torch.zeros(size)
        paths = Paths(nodes, relations, length, torch.arange(size), none, unknown, size)
        tokens = self.linearizer.linearize(self.history, paths, KEY)
        if ends_in_relation and size:
            stays = torch.ones(len(tokens.id), dtype=torch.bool)
            stays[tokens.ptr[1:] - 1] = False
            tokens = tokens.take(stays.nonzero().squeeze(1))
        return self.reading.encode(View(tokens, "causal"), nodes[:, 0]).pooled("last")

    def _edges(self, relation: Relation, source: Tensor, logits: Tensor) -> Tensor:
        """Return which nodes a relation leads to, all nodes for free paths: bool ``[n, V]``."""
        if not self.wanted.constrained:
            return torch.ones_like(logits, dtype=torch.bool)
        at = source - self.history.nodes(relation.source).start
        known = self._small.get(relation.name)
        if known is None:
            size = self.history.num_nodes(relation.source), logits.shape[1]
            if size[0] * size[1] > KEPT:
                return self._table(relation, at, logits.shape[1]).to(logits.device)
            known = self._table(relation, torch.arange(size[0]), size[1]).to(logits.device)
            self._small[relation.name] = known
        return known[at.to(known.device)]

    def _table(self, relation: Relation, at: Tensor, size: int) -> Tensor:
        """Return the edges of some sources, counted from the first, as rows: bool ``[n, V]``."""
        low, high = self.history.segments(relation.name)
        position, row = ranges(low[at], (high - low)[at])
        column = self.history.csr.indices[position].long()
        edges = torch.zeros(len(at), size, dtype=torch.bool)
        edges[row, column - self.history.nodes(relation.target).start] = True
        return edges

    def _degrees(self, nodes: Tensor, kind: Tensor) -> Tensor:
        """Return how many edges of each relation leave each node: int64 ``[n, R]``."""
        schema, csr = self.history.schema, self.history.csr
        first = csr.first_segment(nodes)
        degrees = torch.zeros(len(nodes), len(schema.relations), dtype=torch.int64)
        for index, relation in enumerate(schema.relations):
            mine = (kind == schema.node_index(relation.source)).nonzero().squeeze(1)
            segment = first[mine] + schema.slot(relation.name)
            degrees[mine, index] = csr.segment[segment + 1] - csr.segment[segment]
        return degrees

    def _unseen(self, users: Tensor) -> Tensor:
        """Return which items each user has not interacted with: bool ``[B, V]``."""
        ptr, items = seen_pairs(self.history, self.relation.name, users)
        unseen = torch.ones(len(users), len(self.items), dtype=torch.bool)
        unseen[ranges(ptr[:-1], ptr.diff())[1], items] = False
        return unseen.to(self.reading.device)

    @property
    def _item_type(self) -> int:
        return self.history.schema.node_index(self.relation.target)

    @cached_property
    def _targets(self) -> Tensor:
        """The node type that each relation leads to: int64 ``[R]``."""
        schema = self.history.schema
        return torch.tensor([schema.node_index(relation.target) for relation in schema.relations])

    @cached_property
    def _leads(self) -> list[Tensor]:
        """Relations of each type after which an item is at most k hops away: bool ``[S, R]``."""
        schema = self.history.schema
        leaves = torch.zeros(len(schema.nodes), len(schema.relations), dtype=torch.bool)
        for index, relation in enumerate(schema.relations):
            leaves[schema.node_index(relation.source), index] = True
        near = torch.zeros(len(schema.nodes), dtype=torch.bool)
        near[self._item_type] = True
        leads = []
        for _ in range(self.wanted.hops):
            leads.append(leaves & near[self._targets])
            near = near | leads[-1].any(1)
        return leads


def _normalised(logits: Tensor, allowed: Tensor) -> Tensor:
    """Return log-probabilities among the allowed tokens; −∞ for all other tokens."""
    refused = ~allowed
    logp = log_softmax(logits.masked_fill(refused, -torch.inf), dim=1)
    return logp.masked_fill_(refused, -torch.inf)  # NaN in rows where nothing is allowed

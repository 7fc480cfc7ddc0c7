"""Links from what a dialogue named to the items that a turn may recommend."""

from typing import Any, NamedTuple

import numpy as np
import torch
from pydantic import Field
from scipy.sparse import coo_array, csr_array, diags_array
from torch import Tensor

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.core.memo import Memo
from graphrec_pt.graph.graph import Graph
from graphrec_pt.graph.schema import Strict
from graphrec_pt.sampling.turns import Context

Sparse = csr_array[Any, tuple[int, int]]
CHANNELS = ("named", "mentions", "facts", "facts of facts")
_links: Memo[tuple[Sparse, ...]] = Memo()  # of a graph


class LinkedItems(NamedTuple):
    """Items with links to what was named before some turns.

    Args:
        row: int64 ``[N]``, the turn, ascending.
        item: int64 ``[N]``, counted from the first candidate, ascending in a turn.
        value: float32 ``[N, C]``, weight of the links of each channel, 0 or more.
    """

    row: Tensor
    item: Tensor
    value: Tensor


class TurnLinks(Strict):
    """Weights of the links from what was named before a turn to each candidate, in four channels.

    ``named``: ``1/(1 + p)`` for an item whose latest mention is the p-th back. ``mentions``:
    training turns that recommend the item where the same was named (:func:`mention_links`).
    ``facts``: ``D^−½ A D^−½`` over the facts of the knowledge graph, one step and two.

    Args:
        context: What counts as named.
        facts: Relations of the knowledge graph; by default those that are neither interactions,
            nor computed, nor leave or enter the turns.
        dialogue: Relation from a turn to its dialogue. Turns of one dialogue name and recommend the
            same, so in training the links that any of them contributed are taken away; without
            it, those that the turn itself contributed.
        source_power: Damping of nodes that are named often.
        target_power: Damping of items that are recommended often.
    """

    context: Context = Field(default_factory=Context)
    facts: tuple[str, ...] | None = None
    dialogue: str | None = None
    source_power: float = Field(0.5, ge=0)
    target_power: float = Field(0.5, ge=0)

    def of(
        self, graph: Graph, relation: str, turns: Tensor, *, training: bool = False
    ) -> LinkedItems:
        """Return the linked items of each turn.

        Args:
            graph: What may be seen.
            relation: Leads from turns to items.
            turns: int64 ``[B]`` global ids.
            training: Whether the turns are among those that the links were counted from.
        """
        if turns.device.type != "cpu":  # sparse products of scipy
            with torch.device("cpu"):
                linked = self.of(graph.near, relation, turns.cpu(), training=training)
            return LinkedItems(*(part.to(turns.device) for part in linked))
        among = graph.nodes(graph.schema.relation(relation).target)
        named = self.context.named(graph, turns)
        query = matrix_of(named.row, named.node, (len(turns), graph.num_nodes()))
        mentions, facts = self._made(graph, relation)
        near = csr_array(query @ facts)
        channels = [
            self._named(named.row, named.node - among.start, named.place, len(turns), len(among)),
            csr_array(query @ mentions),
            _columns(near, among),
            _columns(csr_array(near @ facts), among),
        ]
        if training:
            channels[1] = self._without_own(channels[1], query, graph, relation, turns)
        cells = [np.unique(_cells(channel)) for channel in channels]
        cell = np.unique(np.concatenate(cells))
        value = np.zeros((len(cell), len(channels)), np.float32)
        for column, channel in enumerate(channels):
            value[np.searchsorted(cell, _cells(channel)), column] = channel.tocoo().data
        row, item = np.divmod(cell, len(among))
        return LinkedItems(*(torch.from_numpy(part) for part in (row, item, np.maximum(value, 0))))

    def _named(self, row: Tensor, column: Tensor, place: Tensor, turns: int, items: int) -> Sparse:
        inside = (column >= 0) & (column < items)
        weight = 1 / (1 + place[inside].float().numpy())
        cells = row[inside].numpy(), column[inside].numpy()
        return coo_array((weight, cells), shape=(turns, items)).tocsr()

    def _without_own(
        self, sums: Sparse, query: Sparse, graph: Graph, relation: str, turns: Tensor
    ) -> Sparse:
        """Return the sums of training turns without what their own dialogues contributed."""
        before, after, known = mention_matrices(graph, relation, self.context)
        label = torch.arange(graph.num_nodes())
        if self.dialogue is not None:
            edges = graph.edges(self.dialogue)
            label[edges.source] = edges.target
        row, size = torch.arange(len(turns)), graph.num_nodes()
        same = matrix_of(row, label[turns], (len(turns), size)) @ (
            matrix_of(torch.arange(len(known)), label[known], (len(known), size)).T
        )  # [B, T]
        near = query @ diags_array(_degree(before) ** -self.source_power) @ before.T
        own = csr_array(near.multiply(same)) @ (
            after @ diags_array(_degree(after) ** -self.target_power)
        )
        less = csr_array(sums - own)
        less.data[less.data < 1e-6] = 0
        return less

    def _made(self, graph: Graph, relation: str) -> tuple[Sparse, Sparse]:
        def made() -> tuple[Sparse, ...]:
            powers = self.source_power, self.target_power
            weights = mention_links(graph, relation, self.context, *powers)
            turn = graph.schema.relation(relation).source
            facts = facts_of(graph, turn) if self.facts is None else self.facts
            return weights, fact_links(graph, facts)

        mentions, facts = _links(graph, (relation, self.model_dump_json()), made)
        return mentions, facts


def mention_matrices(
    graph: Graph, relation: str, context: Context
) -> tuple[Sparse, Sparse, Tensor]:
    """Return what each recommending turn had named before it, and what it recommends.

    Returns:
        Binary ``[T, N]`` and ``[T, V]``, and int64 ``[T]``, the turns.
    """
    definition = graph.schema.relation(relation)
    edges, catalogue = graph.edges(relation), graph.nodes(definition.target)
    turns, row = torch.unique(edges.source, return_inverse=True)

    def made() -> tuple[Sparse, ...]:
        named = context.named(graph, turns)
        before = matrix_of(named.row, named.node, (len(turns), graph.num_nodes()))
        column = edges.target - catalogue.start
        return before, matrix_of(row, column, (len(turns), len(catalogue)))

    before, after = _links(graph, ("turns", relation, context.model_dump_json()), made)
    return before, after, turns


def mention_links(
    graph: Graph, relation: str, context: Context, source_power: float, target_power: float
) -> Sparse:
    """Return ``W[e, i] = |T_e ∩ R_i| / (|T_e|^a |R_i|^b)``: float32 ``[N, V]``.

    Of the turns of the graph that recommend anything, ``T_e`` had *e* named before and ``R_i``
    recommend *i*.

    Args:
        graph: Whose turns are counted.
        relation: Leads from turns to items.
        context: What counts as named.
        source_power: *a*.
        target_power: *b*.
    """
    before, after, _ = mention_matrices(graph, relation, context)
    left = diags_array(_degree(before) ** -source_power)
    right = diags_array(_degree(after) ** -target_power)
    return csr_array(left @ (before.T @ after) @ right).astype(np.float32)


def fact_links(graph: Graph, facts: tuple[str, ...]) -> Sparse:
    """Return ``D^−½ A D^−½`` of the undirected edges of some relations: float32 ``[N, N]``."""
    size = graph.num_nodes()
    none = torch.empty(0, dtype=torch.int64)
    edges = [graph.edges(fact) for fact in facts]
    source = torch.cat([none, *(part.source for part in edges)])
    target = torch.cat([none, *(part.target for part in edges)])
    links = matrix_of(torch.cat([source, target]), torch.cat([target, source]), (size, size))
    half = diags_array(_degree(links) ** -0.5)
    return csr_array(half @ links @ half).astype(np.float32)


def facts_of(graph: Graph, turn: str) -> tuple[str, ...]:
    """Return the relations of a graph that are facts: about neither turns nor interactions."""
    return tuple(
        each.name
        for each in graph.schema.relations
        if not (each.interaction or each.derived or each.event or each.backward)
        and turn not in (each.source, each.target)
    )


def check_links(graph: Graph, relation: str, links: TurnLinks) -> None:
    """Raise for mentions that do not leave the turns, and facts that the graph does not have."""
    links.context.check(graph.schema, graph.schema.relation(relation).source)
    for name in links.facts or ():
        graph.schema.relation(name)


def matrix_of(row: Tensor, column: Tensor, shape: tuple[int, int]) -> Sparse:
    """Return the binary matrix of some cells: float32."""
    ones = np.ones(len(row), np.float32)
    made: Sparse = coo_array((ones, (row.numpy(), column.numpy())), shape=shape).tocsr()
    made.data[:] = 1
    return made


def no_facts(who: str) -> GraphRecError:
    """Return the error for a graph without facts."""
    return GraphRecError(who, "relations that are facts", "none", "facts: [RELATION, …]")


def _degree(matrix: Sparse) -> Any:
    """Return the sum of each column, at least 1."""
    return np.maximum(np.asarray(matrix.sum(axis=0)).ravel(), 1)


def _columns(matrix: Sparse, among: range) -> Sparse:
    return csr_array(matrix[:, among.start : among.stop])


def _cells(matrix: Sparse) -> Any:
    """Return row · columns + column of each stored value."""
    coordinates = matrix.tocoo()
    return coordinates.coords[0].astype(np.int64) * matrix.shape[1] + coordinates.coords[1]

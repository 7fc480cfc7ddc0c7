"""Baselines of recommendation in dialogue: what was named, what goes with it, what it links to."""

from dataclasses import dataclass

import numpy as np
import torch
from pydantic import Field
from scipy.sparse import coo_array, csr_array, diags_array
from torch import Tensor

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.evaluation.baseline import Sparse, baseline, predicted_relation
from graphrec_pt.evaluation.turns import Context
from graphrec_pt.graph.graph import Graph
from graphrec_pt.predict.scorer import Scorer


def popular(graph: Graph, relation: str) -> Tensor:
    """Return the popularity of each candidate as a share below 1, to break ties: ``[V]``."""
    catalogue = graph.nodes(graph.schema.relation(relation).target)
    count = torch.bincount(graph.edges(relation).target - catalogue.start, minlength=len(catalogue))
    return count.float() / (count.sum() + 1)


@dataclass(frozen=True, eq=False)
class FromNamed:
    """Scores of candidates as a function of what was named before a turn.

    Args:
        context: Says what was named.
        relation: The predicted relation.
        weights: ``[N, V]``, from named nodes to candidates; None: items score by how lately they
            were named.
        prior: float32 ``[V]``, below 1; orders the candidates that have no score.
        history: What may be seen; None before :meth:`on`.
    """

    context: Context
    relation: str
    weights: Sparse | None
    prior: Tensor
    history: Graph | None = None

    def on(self, history: Graph) -> Scorer:
        """Return the scorer for a history graph."""
        return FromNamed(self.context, self.relation, self.weights, self.prior, history)

    def scores(self, nodes: Tensor) -> Tensor:
        """Return the scores of the whole catalogue: float32 ``[B, V]``."""
        graph = self.history
        assert graph is not None
        named = self.context.named(graph, nodes)
        if self.weights is None:
            among = graph.nodes(graph.schema.relation(self.relation).target)
            inside = (named.node >= among.start) & (named.node < among.stop)
            cells = named.row[inside], named.node[inside] - among.start
            score = 1 + 1 / (1 + named.place[inside].float())
            return self.prior.repeat(len(nodes), 1).index_put(cells, score)
        query = _matrix(named.row, named.node, (len(nodes), graph.num_nodes()))
        made = torch.from_numpy((query @ self.weights).toarray().astype(np.float32))
        return torch.where(made > 0, made, self.prior - 1)  # what nothing speaks for comes last


@baseline("repeat")
class Repeat:
    """Recommend what was named, the latest mention first, then by popularity.

    Kostric and Balog (SIGIR 2026) report it: half of the hits of published systems are items that
    the dialogue had named already.

    Args:
        context: What counts as named.
    """

    context: Context = Field(default_factory=Context)

    def fit(self, graph: Graph, relation: str | None = None) -> FromNamed:
        """Count the popularity."""
        name = predicted_relation(graph, relation)
        self.context.check(graph.schema, graph.schema.relation(name).source)
        return FromNamed(self.context, name, None, popular(graph, name))


@baseline("mention_knn")
class MentionKNN:
    """Score = sum of what training turns recommended where the same nodes had been named.

    ``W[e, i] = |T_e ∩ R_i| / (|T_e|^a |R_i|^b)``: of the training turns that recommend anything,
    ``T_e`` had *e* named before and ``R_i`` recommend *i*. Ties go to popularity.

    Args:
        context: What counts as named.
        source_power: *a*, damping of nodes that are named often.
        target_power: *b*, damping of items that are recommended often.
    """

    context: Context = Field(default_factory=Context)
    source_power: float = Field(0.5, ge=0)
    target_power: float = Field(0.5, ge=0)

    def fit(self, graph: Graph, relation: str | None = None) -> FromNamed:
        """Count the turns."""
        name = predicted_relation(graph, relation)
        definition = graph.schema.relation(name)
        self.context.check(graph.schema, definition.source)
        edges, catalogue = graph.edges(name), graph.nodes(definition.target)
        turns, row = torch.unique(edges.source, return_inverse=True)
        named = self.context.named(graph, turns)
        before = _matrix(named.row, named.node, (len(turns), graph.num_nodes()))
        after = _matrix(row, edges.target - catalogue.start, (len(turns), len(catalogue)))
        weights = _damped(before, self.source_power).T @ _damped(after, self.target_power)
        return FromNamed(self.context, name, csr_array(weights), popular(graph, name))


@baseline("linked_items")
class LinkedItems:
    """Score = items that facts of the knowledge graph link to what was named.

    ``W = D^−½ A D^−½`` with ``A`` the undirected edges of `facts`. It learns nothing from
    dialogues, and is strong where dialogues follow the knowledge graph. Ties go to popularity.

    Args:
        context: What counts as named.
        facts: Relations of the knowledge graph; by default those that are neither interactions,
            nor computed, nor leave the turns.
    """

    context: Context = Field(default_factory=Context)
    facts: tuple[str, ...] | None = None

    def fit(self, graph: Graph, relation: str | None = None) -> FromNamed:
        """Read the facts.

        Raises:
            GraphRecError: For a graph without facts.
        """
        name = predicted_relation(graph, relation)
        definition = graph.schema.relation(name)
        self.context.check(graph.schema, definition.source)
        facts = facts_of(graph, definition.source) if self.facts is None else self.facts
        if not facts:
            hint = "another baseline, such as mention_knn"
            raise GraphRecError("linked_items", "relations that are facts", "none", hint)
        size = graph.num_nodes()
        edges = [graph.edges(fact) for fact in facts]
        source = torch.cat([part.source for part in edges])
        target = torch.cat([part.target for part in edges])
        ends = torch.cat([source, target]), torch.cat([target, source])
        links = _matrix(*ends, (size, size))
        degree = np.maximum(np.asarray(links.sum(axis=0)).ravel(), 1)
        half = diags_array(degree**-0.5)
        catalogue = graph.nodes(definition.target)
        weights = csr_array(half @ links @ half)[:, catalogue.start : catalogue.stop]
        return FromNamed(self.context, name, csr_array(weights), popular(graph, name))


def facts_of(graph: Graph, turn: str) -> tuple[str, ...]:
    """Return the relations of a graph that are facts: about neither turns nor interactions."""
    return tuple(
        each.name
        for each in graph.schema.relations
        if not (each.interaction or each.derived or each.event or each.backward)
        and turn not in (each.source, each.target)
    )


def _matrix(row: Tensor, column: Tensor, shape: tuple[int, int]) -> Sparse:
    """Return a binary matrix."""
    ones = np.ones(len(row), np.float32)
    made: Sparse = coo_array((ones, (row.numpy(), column.numpy())), shape=shape).tocsr()
    made.data[:] = 1
    return made


def _damped(matrix: Sparse, power: float) -> Sparse:
    """Return a matrix whose columns are divided by a power of their sum."""
    degree = np.maximum(np.asarray(matrix.sum(axis=0)).ravel(), 1)
    return csr_array(matrix @ diags_array(degree**-power))

"""Baselines of recommendation in dialogue: what was named, what goes with it, what it links to."""

from dataclasses import dataclass

import numpy as np
import torch
from pydantic import Field
from scipy.sparse import csr_array
from torch import Tensor

from graphrec_pt.evaluation.baseline import baseline, predicted_relation
from graphrec_pt.graph.graph import Graph
from graphrec_pt.objectives.turn_links import (
    Sparse,
    fact_links,
    facts_of,
    matrix_of,
    mention_links,
    no_facts,
)
from graphrec_pt.predict.scorer import Scorer
from graphrec_pt.sampling.turns import Context


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
        query = matrix_of(named.row, named.node, (len(nodes), graph.num_nodes()))
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

    :func:`~graphrec_pt.objectives.turn_links.mention_links` has the formula. Ties go to popularity.

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
        self.context.check(graph.schema, graph.schema.relation(name).source)
        powers = self.source_power, self.target_power
        weights = mention_links(graph, name, self.context, *powers)
        return FromNamed(self.context, name, weights, popular(graph, name))


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
            raise no_facts("linked_items")
        among = graph.nodes(definition.target)
        weights = csr_array(fact_links(graph, facts)[:, among.start : among.stop])
        return FromNamed(self.context, name, weights, popular(graph, name))

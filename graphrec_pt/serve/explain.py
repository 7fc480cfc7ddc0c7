"""Paths of the graph between the history of a user and a recommended item."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from graphrec_pt.graph.graph import Graph
from graphrec_pt.kernels.paths import edge_score, paths
from graphrec_pt.predict.predictor import Predictor

CAP = 50
"""Most neighbours of an item under each relation, best first."""


@dataclass(frozen=True)
class ExplanationPath:
    """A path of the graph that ends in a recommended item.

    Args:
        nodes: Global ids; a known user comes first, a new one is left out.
        relations: Names of the relations between them.
        score: Mean score of the two edges between the items, ``1 / √(degree · degree)`` of their
            ends, so that rare shared nodes count for more; for a decoded path, the score of the
            path language model.
    """

    nodes: tuple[int, ...]
    relations: tuple[str, ...]
    score: float

    def in_words(self, graph: Graph) -> str:
        """Return the path for a person: titles of nodes, relations by their forward names."""
        words = [graph.title(self.nodes[0])]
        for name, node in zip(self.relations, self.nodes[1:], strict=True):
            relation = graph.schema.relation(name)
            mirrored = relation.backward and relation.inverse
            words += [f"←{relation.inverse}–" if mirrored else f"–{name}→", graph.title(node)]
        return " ".join(words)


class Explainer:
    """Finds the best paths item → shared node → item, over all relations of items.

    For an item *h* of the history and a recommended item *i*, every relation that leaves items and
    has an inverse gives paths of two hops: over a brand, a genre, another user. The selection is
    that of MCRec (Hu et al., KDD 2018). Paths use edges of the given graph only; give the history
    graph, so that no path uses a held-out edge.

    Args:
        graph: The history graph.
        relation: The relation from users to items.
    """

    def __init__(self, graph: Graph, relation: str) -> None:
        definition = graph.schema.relation(relation)
        self.graph, self.relation = graph, relation
        self.ways = [
            (way.name, way.inverse)
            for way in graph.schema.leaving(definition.target)
            if way.inverse is not None
        ]
        self.score = edge_score(graph.csr)

    def paths(
        self, history: Sequence[int], items: Sequence[int], user: int | None, top: int = 3
    ) -> list[list[ExplanationPath]]:
        """Return the best paths to each item, best first.

        Args:
            history: Global ids of items that the user has interacted with.
            items: Global ids of recommended items.
            user: Global id of the user, who then begins every path; None for a new one.
            top: Paths per item at most.
        """
        known = [item for item in dict.fromkeys(history) if item not in set(items)]
        by_item: list[list[ExplanationPath]] = [[] for _ in items]
        if not known or not items:
            return by_item
        source = torch.tensor(known).repeat(len(items))
        target = torch.tensor(items).repeat_interleave(len(known))
        for name, back in self.ways:
            for number, path in self._instances(source, target, name, back, top, user):
                by_item[number // len(known)].append(path)
        return [sorted(paths, key=lambda path: -path.score)[:top] for paths in by_item]

    def _instances(
        self, source: Tensor, target: Tensor, name: str, back: str, top: int, user: int | None
    ) -> list[tuple[int, ExplanationPath]]:
        """Return (pair, path) for one relation and its inverse."""
        schema = self.graph.schema
        slots = [schema.slot(name), schema.slot(back)]
        if user is not None and schema.relation(name).target == self.graph.type_of(user):
            top = top + 1  # paths over the user itself link all its items and explain nothing
        made = paths(self.graph.csr, source, target, slots, top, score=self.score, cap=CAP)
        pair, place = (made.nodes[:, :, 0] >= 0).nonzero(as_tuple=True)
        nodes, scores = made.nodes[pair, place].tolist(), made.score[pair, place].tolist()
        front = () if user is None else (user,)
        first = () if user is None else (self.relation,)
        return [
            (number, ExplanationPath((*front, *path), (*first, name, back), score))
            for number, path, score in zip(pair.tolist(), nodes, scores, strict=True)
            if user not in path
        ]


def decoded(predictor: Predictor, user: int, items: Sequence[int]) -> list[list[ExplanationPath]]:
    """Return the decoded paths of a path language model to some items, at most one per item.

    Args:
        predictor: The predictor of the model.
        user: Global id.
        items: Global ids.
    """
    paths = predictor.paths(torch.tensor([user]), torch.tensor([list(items)]))
    names = predictor.graph.schema.relation_names
    by_item: list[list[ExplanationPath]] = [[] for _ in items]
    for row, root in enumerate(paths.root.tolist()):
        hops = int(paths.length[row])
        relations = tuple(names[index] for index in paths.relations[row, :hops].tolist())
        nodes = tuple(paths.nodes[row, : hops + 1].tolist())
        by_item[root].append(ExplanationPath(nodes, relations, float(paths.score[row])))
    return by_item

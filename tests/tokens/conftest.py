"""A typed graph small enough to linearize by hand.

::

    user    0 ann, 1 bob, 2 cat              relations, by index:
    item    3 pen, 4 ink, 5 cup, 6 mug       0 rates, 1 rated_by (timed)   2 made_by, 3 makes
    brand   7 acme, 8 zeta                   4 tagged, 5 tags              6 is_a, 7 kinds
    code    9 a, 10 b, 11 top                8 holds, 9 in_basket
    basket  12 full, 13 empty

cat, zeta and the empty basket touch nothing. cup has no title; brands have no title column.
"""

import numpy as np
import polars as pl
import pytest
import torch

from graphrec_pt.graph.assemble import EdgeList, assemble
from graphrec_pt.graph.graph import Graph
from graphrec_pt.graph.schema import NodeType, Relation, Schema
from graphrec_pt.sampling.sample import Paths, Subgraphs

COUNTS = {"user": 3, "item": 4, "brand": 2, "code": 3, "basket": 2}


def both_ways(name: str, inverse: str, source: str, target: str, **kind: bool) -> list[Relation]:
    return [
        Relation(name=name, source=source, target=target, inverse=inverse, **kind),
        Relation(name=inverse, source=target, target=source, inverse=name, backward=True, **kind),
    ]


SCHEMA = Schema(
    nodes=(
        NodeType(name="user"),
        NodeType(name="item", columns={"title": "text", "look": "vector"}, title="title"),
        NodeType(name="brand", columns={"motto": "text"}),
        NodeType(name="code"),
        NodeType(name="basket"),
    ),
    relations=(
        *both_ways("rates", "rated_by", "user", "item", timed=True, interaction=True),
        *both_ways("made_by", "makes", "item", "brand"),
        *both_ways("tagged", "tags", "item", "code"),
        *both_ways("is_a", "kinds", "code", "code"),
        *both_ways("holds", "in_basket", "basket", "item"),
    ),
)
RATES = [(0, 0, 10), (0, 2, 20), (0, 1, 30), (1, 1, 20), (1, 2, 20), (1, 3, 50)]


def pairs(*found: tuple[int, int]) -> EdgeList:
    source, target = np.array(found).T
    return EdgeList(source, target)


@pytest.fixture(scope="session")
def shop() -> Graph:
    user, item, time = np.array(RATES).T
    edges = {
        "rates": EdgeList(user, item, time),
        "made_by": pairs((0, 0), (1, 0), (2, 0)),
        "tagged": pairs((0, 0), (1, 1)),
        "is_a": pairs((0, 2), (1, 2)),
        "holds": pairs((0, 0), (0, 2)),
    }
    tables = {
        "user": pl.DataFrame({"id": ["ann", "bob", "cat"]}),
        "item": pl.DataFrame(
            {
                "id": ["pen", "ink", "cup", "mug"],
                "title": ["a red pen", "ink", None, "a mug"],
                "look": [[0.0], [1.0], [2.0], [3.0]],
            },
            schema_overrides={"look": pl.Array(pl.Float32, 1)},
        ),
        "brand": pl.DataFrame({"id": ["acme", "zeta"], "motto": ["red ink", None]}),
        "code": pl.DataFrame({"id": ["a", "b", "top"]}),
        "basket": pl.DataFrame({"id": ["full", "empty"]}),
    }
    made = assemble(SCHEMA, list(COUNTS.values()), edges)
    return Graph(
        SCHEMA,
        made.csr,
        tables,
        made.edge_tables,
        made.edge_offset,
        fingerprint="shop",
        edge_ids=made.edge_ids,
    )


class Words:
    """A tokenizer that numbers words by first letter: a 0, i 1, m 2, p 3, r 4."""

    def encode(self, text: str) -> list[int]:
        return ["aimpr".index(word[0]) for word in text.split()]


class Written:
    """Samples of a graph, written down.

    Args:
        graph: Where the edges are.
    """

    def __init__(self, graph: Graph) -> None:
        self.graph = graph

    def place(self, source: int, relation: int, target: int) -> int:
        """Return where an edge is stored."""
        edges = self.graph.edges(self.graph.schema.relation_names[relation])
        found = (edges.source == source) & (edges.target == target)
        return int(edges.position[found][0])

    def paths(self, *rows: list[int], root: list[int] | None = None, size: int = 0) -> Paths:
        """Return paths written as node, relation, node, …, the rest filled with −1."""
        width = max(map(len, rows))
        full = torch.tensor([[*row, *[-1] * (width - len(row))] for row in rows])
        nodes, relations = full[:, ::2].contiguous(), full[:, 1::2].contiguous()
        position = torch.full_like(relations, -1)
        for at, hop in (relations >= 0).nonzero().tolist():
            ends = int(nodes[at, hop]), int(nodes[at, hop + 1])
            position[at, hop] = self.place(ends[0], int(relations[at, hop]), ends[1])
        owner = list(range(len(rows))) if root is None else root
        return Paths(
            nodes,
            relations,
            (nodes >= 0).sum(1) - 1,
            torch.tensor(owner),
            torch.zeros(len(rows)),
            position,
            max(size, owner[-1] + 1),
        )

    def subgraph(
        self,
        *rows: tuple[int, int, int, int],
        score: list[float] | None = None,
        edges: list[list[int]] | None = None,
    ) -> Subgraphs:
        """Return one sequence of tokens written as (node, parent, relation, slot)."""
        node, parent, relation, slot = (list(column) for column in zip(*rows, strict=True))
        hop: list[int] = []
        position = []
        for at, before in enumerate(parent):
            hop.append(0 if before < 0 else hop[before] + 1)
            position.append(-1 if before < 0 else self.place(node[before], relation[at], node[at]))
        return Subgraphs(
            torch.tensor(node),
            torch.tensor([0, len(node)]),
            torch.tensor(parent),
            torch.tensor(relation),
            torch.tensor(hop),
            torch.tensor(slot),
            torch.tensor(score or [0.0] * len(node)),
            torch.tensor(position),
            None if edges is None else torch.tensor(edges),
        )


@pytest.fixture(scope="session")
def written(shop: Graph) -> Written:
    return Written(shop)


@pytest.fixture(scope="session")
def words() -> Words:
    return Words()

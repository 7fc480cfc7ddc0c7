"""Edges of nodes, and forests that grow along them."""

import torch

from graphrec_pt.graph.graph import Graph
from graphrec_pt.sampling.edges import relations_of, segment_edges
from graphrec_pt.sampling.tree_batch import first_of, plant


def sources(graph: Graph) -> torch.Tensor:
    low, high = graph.csr.bounds(torch.arange(graph.num_nodes()))
    return torch.arange(graph.num_nodes()).repeat_interleave(high - low)


def test_relation_of_every_edge(train: Graph) -> None:
    source = sources(train)
    position = torch.arange(train.num_edges())
    expected = torch.full_like(position, -1)
    for index, relation in enumerate(train.schema.relations):
        expected[train.edges(relation.name).position] = index
    assert torch.equal(train.relation_of(position), expected)
    assert torch.equal(train.relation_of(position, source), expected)
    gap = torch.tensor([[3, -1], [-1, 7]])
    found = relations_of(train, gap, source[gap.clamp(min=0)])
    assert found.tolist() == [[int(expected[3]), -1], [-1, int(expected[7])]]


def test_segment_edges(train: Graph) -> None:
    users = torch.tensor([4, 0, 4])
    position, row = segment_edges(train, users, "rates")
    rated = [train.neighbors(user, "rates").tolist() for user in users.tolist()]
    assert train.csr.indices[position].tolist() == [item for items in rated for item in items]
    assert row.tolist() == [at for at, items in enumerate(rated) for _ in items]
    assert train.csr.edge is not None
    banned = train.csr.edge[position[:1]].long().expand(3)
    less, rows = segment_edges(train, users, "rates", banned)
    assert less.tolist() == [p for p in position.tolist() if p != int(position[0])]
    assert rows.tolist().count(1) == len(rated[1])


def test_first_of() -> None:
    values = torch.tensor([5, 3, 5, 3, 1])
    assert first_of(values).tolist() == [True, True, False, False, True]
    assert first_of(values[:0]).tolist() == []


def test_forest_keeps_its_parents_straight(train: Graph) -> None:
    forest = plant(torch.tensor([0, 2]))
    position, row = segment_edges(train, torch.tensor([0, 2]), "rates")
    forest = forest.grow(train, row, position)
    assert forest.rank().tolist() == [0, 0, 1, 2, 1, 2]
    assert forest.origin.tolist() == [0, 2, 0, 0, 2, 2]
    # Children first, and one root gone.
    turned = forest.take(torch.tensor([5, 4, 2, 0]))
    assert turned.parent.tolist() == [-1, -1, 3, -1]
    packed = turned.pack(train, 3)
    assert packed.ptr.tolist() == [0, 2, 4, 4]
    assert packed.parent.tolist() == [1, -1, -1, -1]
    assert packed.relation.tolist() == [0, -1, -1, -1]

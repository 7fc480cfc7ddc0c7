"""Nodes without an edge from a source, asked for under several relations at once."""

import torch

from graphrec_pt.core.key import Key
from graphrec_pt.graph.graph import Graph
from graphrec_pt.objectives.edge_masking import structured_negatives


def questions(shop: Graph) -> tuple[torch.Tensor, torch.Tensor]:
    """Return every node with every relation that leaves its type."""
    asked = [
        (node, index)
        for index, relation in enumerate(shop.schema.relations)
        for node in shop.nodes(relation.source)
    ]
    source, relation = torch.tensor(asked).T
    return source, relation


def test_found_are_of_the_type_and_have_no_such_edge(shop: Graph) -> None:
    source, relation = questions(shop)
    item = torch.arange(len(source))
    found = structured_negatives(shop, source, relation, 5, Key(1), item)
    assert found.shape == (len(source), 5)
    assert (found >= 0).any()
    for node, index, others in zip(source.tolist(), relation.tolist(), found, strict=True):
        kind = shop.schema.relations[index]
        segment = shop.csr.first_segment(torch.tensor([node])) + shop.schema.slot(kind.name)
        low, high = shop.csr.segment[segment].item(), shop.csr.segment[segment + 1].item()
        near = set(shop.csr.indices[low:high].tolist())
        far = set(shop.nodes(kind.target)) - near
        assert set(others.tolist()) <= (far or {-1})


def test_each_alone_gets_the_same(shop: Graph) -> None:
    source, relation = questions(shop)
    item = torch.arange(len(source))
    together = structured_negatives(shop, source, relation, 2, Key(1), item)
    for at in range(0, len(source), 7):
        rows = slice(at, at + 1)
        alone = structured_negatives(shop, source[rows], relation[rows], 2, Key(1), item[rows])
        assert torch.equal(alone, together[rows])


def test_nothing_asked_is_nothing_found(shop: Graph) -> None:
    none = torch.tensor([-1, -1])
    found = structured_negatives(shop, torch.tensor([0, 20]), none, 3, Key(1), torch.tensor([0, 1]))
    assert found.tolist() == [[-1] * 3] * 2

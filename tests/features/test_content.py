"""Learned vectors of attributes and words: by hand, and the same on another graph."""

import torch

from graphrec_pt.data.synthetic import synthetic_graph
from graphrec_pt.features.content import Content
from graphrec_pt.features.seeded import seeded
from graphrec_pt.graph.content import content_features
from graphrec_pt.graph.spec import GraphSpec

GRAPH = synthetic_graph(30, 25, 200)


def feature(graph, buckets: int = 512):
    made = seeded(lambda: Content(buckets).build(GraphSpec.of(graph), "item", 8), seed=0)
    made.attach_graph(graph)
    return made


def test_vectors_are_weighted_sums_of_what_is_known() -> None:
    made = feature(GRAPH)
    known = torch.from_numpy(content_features(GRAPH, "item", 512).toarray()).float()
    assert int((known > 0).sum()) > 0
    nodes = torch.tensor([3, 0, 3, 24])
    torch.testing.assert_close(made(nodes, made), known[nodes] @ made.table.weight)


def test_a_node_of_which_nothing_is_known_is_zero() -> None:
    made = seeded(lambda: Content(64).build(GraphSpec.of(GRAPH), "user", 8), seed=0)
    made.attach_graph(GRAPH)
    bare = (content_features(GRAPH, "user", 64).toarray() == 0).all(1).nonzero()[0]
    assert len(bare) > 0
    assert made(torch.from_numpy(bare), made).tolist() == [[0.0] * 8] * len(bare)


def test_names_keep_their_numbers_on_another_graph() -> None:
    other = synthetic_graph(10, 25, 100)
    ours, theirs = feature(GRAPH), feature(other)
    theirs.load_state_dict(ours.state_dict())
    known = torch.from_numpy(content_features(other, "item", 512).toarray()).float()
    torch.testing.assert_close(theirs(torch.arange(25), theirs), known @ ours.table.weight)

"""Nodes by the nodes that they are linked to: against a loop over the edges."""

import pytest
import torch

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.data.synthetic import synthetic_graph
from graphrec_pt.features.featurizer import featurizer
from graphrec_pt.features.node_features import Features
from graphrec_pt.features.seeded import seeded
from graphrec_pt.graph.spec import GraphSpec

WIDTH = 4
BOTH = ["has_category", "has_brand"]


@pytest.fixture(scope="module")
def world():
    return synthetic_graph(20, 30, 100)


@pytest.mark.parametrize("how", ["mean", "sum"])
@pytest.mark.parametrize("relations", [BOTH[:1], BOTH])
def test_equals_a_loop_over_the_edges(world, how, relations):
    config = {"name": "linked", "relations": relations, "how": how}
    feature = featurizer.build(config).build(GraphSpec.of(world), "item", WIDTH)
    feature.attach_graph(world)
    table = torch.randn(world.num_nodes(), WIDTH, generator=torch.Generator().manual_seed(1))
    nodes = torch.tensor([7, 0, 29, 7])
    found = feature(nodes, lambda ids: table[ids])
    first = world.nodes("item").start
    for row, node in enumerate(nodes.tolist()):
        near = torch.cat([world.neighbors(first + node, name) for name in relations])
        expected = table[near].sum(0) if how == "sum" else table[near].mean(0)
        assert torch.allclose(found[row], expected, atol=1e-6)


def test_nodes_without_neighbours_have_zeros(world):
    """Users buy nothing of a relation that leaves items; categories have no department twice."""
    feature = featurizer.build({"name": "linked", "relations": ["part_of"]})
    made = feature.build(GraphSpec.of(world), "category", WIDTH)
    made.attach_graph(world)
    made.start = torch.tensor([0, 0, *made.start[2:].tolist()])  # as if the first had none
    found = made(torch.tensor([0]), lambda ids: torch.ones(len(ids), WIDTH))
    assert torch.equal(found, torch.zeros(1, WIDTH))


def test_neighbours_learn_and_travel_with_the_model(world):
    features = Features(by_type={"item": [{"name": "linked", "relations": BOTH}]})
    made = seeded(lambda: features.build(GraphSpec.of(world), WIDTH), 0)
    made.attach_graph(world)
    item = world.nodes("item").start
    made(torch.tensor([item])).sum().backward()
    brands = made.of_type["of_brand"].parts[0].table.weight.grad.abs().sum(1)
    mine = world.neighbors(item, "has_brand") - world.nodes("brand").start
    assert brands.nonzero().squeeze(1).tolist() == sorted(mine.tolist())
    again = seeded(lambda: features.build(GraphSpec.of(world), WIDTH), 0)
    again.restore(made.inputs())
    every = torch.arange(item, item + 30)
    assert torch.equal(again(every), made(every))


def test_relations_must_leave_the_type(world):
    for name, told in (("rates", "relations that leave 'item'"), ("has_brnd", "has_brand")):
        config = featurizer.build({"name": "linked", "relations": [name]})
        with pytest.raises(GraphRecError, match=told):
            config.build(GraphSpec.of(world), "item", WIDTH)

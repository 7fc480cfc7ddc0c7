"""Layouts of edges, and CompGCN edge by edge."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.features.featurizer import Propagator, propagation
from graphrec_pt.features.gnn.messages import Incoming, by_head, counts, incoming, messages
from graphrec_pt.graph.graph import Graph
from graphrec_pt.graph.spec import GraphSpec
from graphrec_pt.kernels.sparse import owners

Build = Callable[..., Propagator]


def test_incoming() -> None:
    found, order = incoming(torch.tensor([2, 0, 2, 0]), torch.tensor([5, 6, 7, 8]), 4)
    assert found.ptr.tolist() == [0, 2, 2, 4, 4]
    assert found.column.tolist() == [6, 8, 5, 7]
    assert order.tolist() == [1, 3, 0, 2]


def test_by_head() -> None:
    found = by_head(Incoming(torch.tensor([0, 2, 2, 3]), torch.tensor([4, 1, 0]).int()), 2)
    assert found.ptr.tolist() == [0, 2, 4, 4, 4, 5, 6]
    assert found.column.tolist() == [8, 2, 9, 3, 0, 1]


def test_messages_are_the_edges(shop: Graph) -> None:
    names = ["near", "rates", "kinds"]
    found = messages(shop, names)
    target = owners(found.incoming.ptr, len(found.relation))
    source = found.node[found.incoming.column.long()]
    mine = zip(source.tolist(), found.relation.tolist(), target.tolist(), strict=True)
    theirs = []
    for place, name in enumerate(names):
        edges = shop.edges(name)
        pairs = zip(edges.source.tolist(), edges.target.tolist(), strict=True)
        theirs += [(source, place, target) for source, target in pairs]
    assert sorted(mine) == sorted(theirs)
    assert found.sizes == [len(set(shop.edges(name).source.tolist())) for name in names]
    place = torch.arange(3).repeat_interleave(torch.tensor(found.sizes))
    assert found.relation.equal(place[found.incoming.column.long()])
    same = [theirs.count((s, r, t)) for s, r, t in theirs]
    assert 2 in same  # parallel edges are there to be kept
    received = [(r, t) for _, r, t in theirs]
    expected = {slot: received.count(slot) for slot in received}
    slots = zip(found.relation.tolist(), target.tolist(), strict=True)
    assert counts(found).tolist() == [expected[slot] for slot in slots]


@pytest.mark.parametrize("compose", ["sub", "mult"])
def test_compgcn_edge_by_edge(compose: str, build: Build, shop: Graph, x: Tensor) -> None:
    network: Any = build({"name": "compgcn", "layers": 2, "compose": compose}, shop)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.normal_(0, 0.5, generator=torch.Generator().manual_seed(3))
    relations = shop.schema.relations
    edges = [
        (int(s), at, int(t))
        for at, relation in enumerate(relations)
        for s, t in zip(*shop.edges(relation.name)[:2], strict=True)
    ]
    leaves, enters = dict[Any, int](), dict[Any, int]()
    for source, at, target in edges:
        way = relations[at].backward
        leaves[source, way] = leaves.get((source, way), 0) + 1
        enters[target, way] = enters.get((target, way), 0) + 1

    def phi(node: Tensor, relation: Tensor) -> Tensor:
        return node - relation if compose == "sub" else node * relation

    state, vectors = x, network.vectors
    for layer in network.layers:
        rows = [phi(row, vectors[-1]) @ layer.direction[2] for row in state]
        for source, at, target in edges:
            way = relations[at].backward
            share = (leaves[source, way] * enters[target, way]) ** -0.5
            sent = phi(state[source], vectors[at]) @ layer.direction[int(way)]
            rows[target] = rows[target] + share * sent
        state = (torch.stack(rows) / 3 + layer.bias).tanh()
        if layer.relation is not None:
            vectors = vectors @ layer.relation
    torch.testing.assert_close(network(x), state, atol=1e-5, rtol=1e-5)


def test_bad_options(spec: GraphSpec) -> None:
    for name in ("gat", "hgt"):
        with pytest.raises(GraphRecError, match=f"{name}: expected heads that divide the width 8"):
            propagation.build({"name": name, "heads": 3}).build(spec, 8)
    with pytest.raises(GraphRecError, match="gat: expected either stages, or layers and relations"):
        propagation.build({"name": "gat", "stages": [["rates"]], "layers": 2})
    with pytest.raises(GraphRecError, match="gat: expected at least one stage"):
        propagation.build({"name": "gat", "stages": []})
    with pytest.raises(GraphRecError, match="gat: expected at least one relation"):
        propagation.build({"name": "gat", "stages": [["rates"], []]}).build(spec, 8)
    with pytest.raises(GraphRecError, match="expected a known option, got 'layer'; did you mean"):
        propagation.build({"name": "rgcn", "layer": 2})

"""Â by hand, by networkx and by scipy; what is left alone; what a step costs."""

from collections.abc import Callable
from dataclasses import replace

import networkx as nx
import numpy as np
import pytest
import scipy.sparse as sp
import torch
from torch import Tensor

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.data.synthetic import synthetic_graph
from graphrec_pt.features.featurizer import Propagator, propagation
from graphrec_pt.features.gnn.symmetric import normalised, polynomial
from graphrec_pt.graph.derive import derive
from graphrec_pt.graph.graph import Graph
from graphrec_pt.graph.spec import GraphSpec
from graphrec_pt.kernels import sparse as module

Build = Callable[..., Propagator]


def as_dense(graph: Graph, name: str, within: range, *, weighted: bool, lone: float) -> Tensor:
    found = normalised("test", graph, [name], within, weighted=weighted, lone=lone)
    csr = sp.csr_array((found.values, found.indices, found.ptr), shape=(len(within),) * 2)
    return torch.from_numpy(csr.toarray())


def test_by_hand(shop: Graph) -> None:
    # made_by: items 0–5 to brands 0, 1, 1, 0, 0, 1; degrees 1 of items and 3 of brands.
    dense = as_dense(shop, "made_by", range(7, 18), weighted=False, lone=0.0)
    expected = torch.zeros(11, 11)
    for item, brand in enumerate([0, 1, 1, 0, 0, 1]):
        expected[item, 8 + brand] = expected[8 + brand, item] = 3**-0.5
    torch.testing.assert_close(dense, expected)


@pytest.mark.parametrize("weighted", [False, True])
def test_networkx_agrees(shop: Graph, weighted: bool) -> None:
    items = shop.nodes("item")
    world = nx.Graph()
    world.add_nodes_from(range(len(items)))
    edges = shop.edges("followed_by")
    assert edges.weight is not None
    for source, target, weight in zip(
        (edges.source - items.start).tolist(),
        (edges.target - items.start).tolist(),
        edges.weight.tolist() if weighted else [1.0] * len(edges.source),
        strict=True,
    ):
        # Both directions add up, a loop meets itself.
        before = world.get_edge_data(source, target, {"weight": 0.0})["weight"]
        world.add_edge(source, target, weight=before + weight * (1 + (source == target)))
    laplacian = nx.normalized_laplacian_matrix(world).toarray()
    lone = np.array([world.degree(n) == 0 for n in world])
    expected = torch.from_numpy(np.eye(len(items)) - laplacian).float()
    expected[lone, lone] = 0
    dense = as_dense(shop, "followed_by", items, weighted=weighted, lone=0.0)
    torch.testing.assert_close(dense, expected, atol=1e-6, rtol=1e-5)
    kept = as_dense(shop, "followed_by", items, weighted=weighted, lone=1.0)
    assert kept.equal(dense + torch.diag(torch.from_numpy(lone).float()))
    assert int(lone.sum()) == 1


def test_spectrum(shop: Graph) -> None:
    dense = as_dense(shop, "rates", range(15), weighted=True, lone=0.0)
    assert dense.equal(dense.T)
    found = torch.linalg.eigvalsh(dense.double())
    assert float(found.abs().max()) == pytest.approx(1)


def test_polynomial(shop: Graph) -> None:
    items = shop.nodes("item")
    found = normalised("test", shop, ["followed_by"], items, weighted=True, lone=1.0)
    dense = as_dense(shop, "followed_by", items, weighted=True, lone=1.0).double()
    wide = found._replace(values=found.values.double())
    x = torch.randn(8, 3, dtype=torch.float64, requires_grad=True)
    expected = 0.5 * x - 2 * dense @ dense @ x + dense @ dense @ dense @ x
    torch.testing.assert_close(polynomial(wide, [0.5, 0.0, -2.0, 1.0], x), expected)
    assert torch.autograd.gradcheck(lambda y: polynomial(wide, [0.5, 0.0, -2.0], y), x)
    assert torch.autograd.gradgradcheck(lambda y: polynomial(wide, [0.5, 0.0, -2.0], y), x)


@pytest.mark.parametrize("pool", ["mean", "last"])
@pytest.mark.parametrize("relation", ["followed_by", "follows", "near"])
def test_transition(build: Build, shop: Graph, x: Tensor, pool: str, relation: str) -> None:
    network = build({"name": "transition", "relation": relation, "hops": 2, "pool": pool}, shop)
    items = shop.nodes("item")
    dense = as_dense(shop, relation, items, weighted=True, lone=1.0)
    own = x[list(items)]
    hops = [own, dense @ own, dense @ dense @ own]
    expected = x.detach().clone()
    expected[list(items)] = sum(hops) / 3 if pool == "mean" else hops[-1]
    torch.testing.assert_close(network(x), expected)
    lone = [14] if relation != "near" else [9, 10, 12, 13, 14]
    torch.testing.assert_close(network(x)[lone], x[lone])


def test_transition_between_two_types(build: Build, shop: Graph, x: Tensor) -> None:
    both = build({"name": "transition", "relation": "tagged"}, shop)(x)
    only = build({"name": "transition", "relation": "tagged", "only": "code"}, shop)(x)
    dense = as_dense(shop, "tagged", range(24), weighted=False, lone=1.0)
    torch.testing.assert_close(both, (x + dense @ x) / 2)
    assert only[18:].equal(both[18:])
    assert only[:18].equal(x[:18])
    assert both[:7].equal(x[:7])  # users have nothing to do with it
    torch.testing.assert_close(both[15:18], x[15:18])  # nor brands, whose ids lie between


def test_derived_transitions(build: Build) -> None:
    graph = synthetic_graph(60, 40, 600)
    config = {"name": "transition", "relation_name": "then", "window": 3, "decay": 0.5}
    seen = derive(graph, [config])
    network = build({"name": "transition", "relation": "then", "pool": "last"}, seen)
    x = torch.randn(seen.num_nodes(), 8, generator=torch.Generator().manual_seed(0))
    weight, items = np.zeros((40, 40)), seen.nodes("item")
    edges = graph.edges("rates")
    for user in graph.nodes("user"):
        history = (edges.target[edges.source == user] - items.start).tolist()
        for at, before in enumerate(history):
            for distance, after in enumerate(history[at + 1 : at + 4]):
                weight[before, after] += 0.5**distance
    whole = weight + weight.T
    root = np.sqrt(whole.sum(1))
    expected = torch.from_numpy(whole / root[:, None] / root).float() @ x[list(items)]
    torch.testing.assert_close(network(x)[list(items)], expected, atol=1e-5, rtol=1e-4)


def test_a_step_transposes_nothing(
    build: Build, shop: Graph, x: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = build({"name": "transition", "hops": 2}, shop)
    sorts: list[int] = []
    sort = torch.sort

    def counted(*given: object, **options: object) -> object:
        sorts.append(1)
        return sort(*given, **options)  # type: ignore[call-overload]

    monkeypatch.setattr(module.torch, "sort", counted)
    network(x).sum().backward()
    assert not sorts
    others = [build(name, shop) for name in ("rgcn", "gat", "hgt", "compgcn")]
    for other in others:
        other(x).sum().backward()
    made = len(sorts)
    assert made
    for other in others:
        other(x).sum().backward()
    assert len(sorts) == made  # transposes are kept from step to step


def test_bad_options(shop: Graph, spec: GraphSpec) -> None:
    with pytest.raises(GraphRecError, match="layer_weights for x and 2 layers, 3 numbers, got 2"):
        propagation.build({"name": "lightgcn", "layer_weights": [1, 2]})
    config = propagation.build({"name": "transition", "relation": "rates", "only": "brand"})
    with pytest.raises(GraphRecError, match="transition: expected a node type that 'rates' touch"):
        config.build(spec, 8)
    assert shop.csr.weight is not None
    wrong = replace(shop, csr=replace(shop.csr, weight=-shop.csr.weight))
    network = propagation.build({"name": "transition"}).build(spec, 8)
    with pytest.raises(
        GraphRecError, match="transition: expected weights of 'followed_by' of 0 or"
    ):
        network.attach_graph(wrong)

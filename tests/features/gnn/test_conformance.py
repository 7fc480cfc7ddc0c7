"""What every propagation promises, one row or more per registered name."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.features.featurizer import Propagator, propagation
from graphrec_pt.features.node_features import Features
from graphrec_pt.features.seeded import seeded
from graphrec_pt.graph.graph import Graph
from graphrec_pt.graph.spec import GraphSpec
from graphrec_pt.graph.split import keep_edges
from graphrec_pt.testing import networks
from graphrec_pt.testing.networks import gradients

Build = Callable[..., Propagator]

ROWS: list[dict[str, Any]] = [
    {"name": "lightgcn"},
    {"name": "lightgcn", "layers": 3, "layer_weights": [0.1, 0.2, 0.3, 0.4], "weighted": True},
    {"name": "transition", "hops": 2},
    {"name": "transition", "relation": "rates", "pool": "last", "only": "item"},
    {"name": "rgcn", "residual": True},
    {"name": "rgcn", "layers": 2, "bases": 3, "relations": ["rates", "rated_by", "kinds"]},
    {"name": "gat", "layers": 2, "heads": 2},
    {"name": "gat", "stages": [["is_a"], ["kinds", "tags"]], "shared": True},
    {"name": "hgt", "layers": 2, "heads": 4},
    {"name": "hgt", "relations": ["rates", "rated_by"]},
    {"name": "compgcn", "layers": 2},
    {"name": "compgcn", "compose": "mult", "relations": ["rates", "near"]},
]


@pytest.fixture(params=ROWS, ids=[f"{n}-{row['name']}" for n, row in enumerate(ROWS)])
def row(request: pytest.FixtureRequest) -> dict[str, Any]:
    found: dict[str, Any] = request.param
    return found


def test_every_registered_propagation_has_a_row() -> None:
    names = propagation.names()
    ours = {n for n in names if propagation.get(n).__module__.startswith("graphrec_pt.")}
    assert ours == {row["name"] for row in ROWS}


def test_config_round_trip(row: dict[str, Any]) -> None:
    config = propagation.build(row)
    assert propagation.build(propagation.config(config)) == config
    features = Features(propagation=row)
    assert Features(**features.model_dump(mode="json")) == features


def test_shape_and_gradients(
    row: dict[str, Any], build: Build, shop: Graph, x: Tensor, probe: Tensor
) -> None:
    networks.mixes_all_nodes(propagation.build(row), partial(build, row), shop, x, probe)


def test_gradients_are_those_of_finite_differences(
    row: dict[str, Any], build: Build, shop: Graph, x: Tensor
) -> None:
    network = build(row, shop).double()
    network.attach_graph(shop)
    wide = x.detach().double().requires_grad_()
    inputs = (wide, *network.parameters())
    assert torch.autograd.gradcheck(lambda *_: network(wide), inputs, fast_mode=True)


def test_bodies_agree(
    row: dict[str, Any], build: Build, shop: Graph, x: Tensor, probe: Tensor
) -> None:
    networks.agrees_between_bodies(propagation.build(row), partial(build, row), shop, x, probe)


def test_the_same_twice(
    row: dict[str, Any], build: Build, shop: Graph, x: Tensor, probe: Tensor
) -> None:
    networks.repeats_itself(propagation.build(row), partial(build, row), shop, x, probe)


def test_other_edges_other_vectors(
    row: dict[str, Any], build: Build, shop: Graph, fewer: Graph, x: Tensor, probe: Tensor
) -> None:
    network = build(row, shop)
    whole = [network(x), *gradients(network, x, probe)]
    network.attach_graph(fewer)
    assert not network(x).allclose(whole[0])
    fresh = build(row, fewer)
    assert network(x).equal(fresh(x))
    torch.testing.assert_close(gradients(network, x, probe), gradients(fresh, x, probe))
    network.attach_graph(shop)
    torch.testing.assert_close([network(x), *gradients(network, x, probe)], whole)


def test_only_edges_are_read(row: dict[str, Any], build: Build, shop: Graph, x: Tensor) -> None:
    bare = replace(shop, tables={}, edge_tables={}, edge_offset={}, fingerprint="")
    stripped = build(row, shop)
    stripped.attach_graph(bare)
    assert stripped(x).equal(build(row, shop)(x))


def test_edges_far_away_do_not_matter(
    row: dict[str, Any], build: Build, shop: Graph, x: Tensor
) -> None:
    # Vectors of nodes that no edge reaches depend on themselves alone.
    network, lone = build(row, shop), torch.tensor([6, 14, 17, 23])
    other = x.detach().clone()
    other[torch.ones(len(x), dtype=torch.bool).index_fill(0, lone, False)] += 1
    torch.testing.assert_close(network(x)[lone], network(other)[lone])


def test_no_edges_at_all(
    row: dict[str, Any], build: Build, shop: Graph, x: Tensor, probe: Tensor
) -> None:
    empty = keep_edges(shop, torch.zeros(shop.num_edge_ids, dtype=torch.bool))
    network = build(row, empty)
    assert bool(network(x).isfinite().all())
    found = gradients(network, x, probe)
    assert all(one is None or bool(one.isfinite().all()) for one in found)


def test_arrays_of_the_graph_are_not_saved(
    row: dict[str, Any], build: Build, shop: Graph, fewer: Graph, x: Tensor
) -> None:
    network = build(row, shop)
    saved = network.state_dict()
    assert set(saved) == {name for name, _ in network.named_parameters()}
    other = build(row, fewer, seed=5)
    other.load_state_dict(saved)
    other.attach_graph(shop)
    assert other(x).equal(network(x))


def test_full_precision_inside_autocast(
    row: dict[str, Any], build: Build, shop: Graph, x: Tensor
) -> None:
    network = build(row, shop)
    with torch.autocast("cpu", torch.bfloat16):
        assert network(x).equal(network(x.detach()))
        assert network(x.bfloat16()).dtype == torch.float32
    assert network(x).dtype == torch.float32


def test_inside_features(row: dict[str, Any], shop: Graph) -> None:
    features = seeded(lambda: Features(propagation=row).build(GraphSpec.of(shop), 8), 0)
    features.attach_graph(shop)
    nodes = torch.tensor([15, 0, 7, 7])
    with features.cached_embeddings():
        found = features(nodes)
        assert found.equal(torch.cat([features.table(n) for n in shop.schema.node_names])[nodes])
    found.sum().backward()
    grads = [parameter.grad for parameter in features.parameters()]
    assert all(grad is None or bool(grad.isfinite().all()) for grad in grads)
    assert any(grad is not None and float(grad.abs().sum()) > 0 for grad in grads)


def test_bad_input(row: dict[str, Any], shop: Graph, spec: GraphSpec, x: Tensor) -> None:
    who = row["name"]
    network = propagation.build(row).build(spec, 8)
    with pytest.raises(GraphRecError, match=rf"{who}: expected the edges of a graph.*attach_graph"):
        network(x)
    network.attach_graph(shop)
    with pytest.raises(GraphRecError, match=rf"{who}: expected vectors \[24, 8\], got \[24, 4\]"):
        network(x[:, :4])
    larger = spec.model_copy(update={"counts": (8, 8, 3, 6)})
    with pytest.raises(GraphRecError, match=f"{who}: expected a graph of 25 nodes, got 24"):
        propagation.build(row).build(larger, 8).attach_graph(shop)
    name = "relation" if who == "transition" else "relations"
    config = {"name": who, name: "ratse" if who == "transition" else ["ratse"]}
    with pytest.raises(GraphRecError, match="'ratse'; did you mean 'rates'"):
        propagation.build(config).build(spec, 8)
    if who != "transition":
        with pytest.raises(GraphRecError, match=f"{who}: expected at least one relation"):
            propagation.build({"name": who, "relations": []}).build(spec, 8)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_the_same_on_a_gpu(
    row: dict[str, Any], build: Build, shop: Graph, x: Tensor, probe: Tensor
) -> None:
    network = build(row, shop)
    expected = [network(x), *gradients(network, x, probe)]
    network.to("cuda")
    there = x.detach().cuda().requires_grad_()
    for _ in range(2):
        found = [network(there), *gradients(network, there, probe.cuda())]
        for one, two in zip(found, expected, strict=True):
            torch.testing.assert_close(one.cpu(), two, atol=1e-4, rtol=1e-4)
        network.attach_graph(shop)

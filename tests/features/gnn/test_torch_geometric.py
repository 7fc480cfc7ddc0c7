"""The same weights give the same vectors and gradients as torch-geometric's layers."""

from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from graphrec_pt.features.featurizer import Propagator
from graphrec_pt.graph.graph import Graph

Build = Callable[..., Propagator]
Pairs = Sequence[tuple[Tensor, nn.Parameter, Callable[[Tensor], Tensor]]]


def edge_index(graph: Graph, names: Sequence[str]) -> Tensor:
    edges = [graph.edges(name) for name in names]
    return torch.stack([torch.cat([e.source for e in edges]), torch.cat([e.target for e in edges])])


def relation_index(graph: Graph, names: Sequence[str]) -> Tensor:
    return torch.cat([torch.full((graph.num_edges(n),), at) for at, n in enumerate(names)])


def fill(pairs: Pairs) -> None:
    """Give our parameters random numbers, and theirs the same ones."""
    draw = torch.Generator().manual_seed(8)
    with torch.no_grad():
        for ours, _, _ in pairs:
            ours.normal_(0, 0.4, generator=draw)
        for ours, theirs, view in pairs:
            theirs.copy_(view(ours).reshape(theirs.shape))


def compare(ours: Tensor, theirs: Tensor, x: Tensor, probe: Tensor, pairs: Pairs) -> None:
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)
    mine = torch.autograd.grad((ours * probe).sum(), [x, *(pair[0] for pair in pairs)])
    other = torch.autograd.grad((theirs * probe).sum(), [x, *(pair[1] for pair in pairs)])
    torch.testing.assert_close(mine[0], other[0], atol=1e-5, rtol=1e-5)
    for (_, _, view), one, two in zip(pairs, mine[1:], other[1:], strict=True):
        torch.testing.assert_close(view(one).reshape(two.shape), two, atol=1e-5, rtol=1e-5)


def same(x: Tensor) -> Tensor:
    return x


BOTH_WAYS = ["rates", "rated_by", "made_by", "makes", "followed_by", "follows"]


@pytest.mark.parametrize("weighted", [False, True])
def test_lightgcn(
    weighted: bool, build: Build, pyg: ModuleType, shop: Graph, x: Tensor, probe: Tensor
) -> None:
    found = build(
        {"name": "lightgcn", "layers": 3, "relations": BOTH_WAYS, "weighted": weighted}, shop
    )
    model = pyg.LightGCN(shop.num_nodes(), 8, 3)
    weights = []
    for name in BOTH_WAYS:
        edges = shop.edges(name)
        given = weighted and edges.weight is not None
        weights.append(edges.weight if given else torch.ones(len(edges.source)))
    model.embedding.weight.data.copy_(x.detach())
    expected = model.get_embedding(edge_index(shop, BOTH_WAYS), torch.cat(weights))
    torch.testing.assert_close(found(x), expected, atol=1e-6, rtol=1e-5)
    (mine,) = torch.autograd.grad((found(x) * probe).sum(), x)
    (theirs,) = torch.autograd.grad((expected * probe).sum(), model.embedding.weight)
    torch.testing.assert_close(mine, theirs, atol=1e-6, rtol=1e-5)
    halves = build(
        {"name": "lightgcn", "layers": 3, "relations": BOTH_WAYS[::2], "weighted": weighted}, shop
    )
    torch.testing.assert_close(halves(x), expected, atol=1e-6, rtol=1e-5)


def test_one_lightgcn_layer(build: Build, pyg: ModuleType, shop: Graph, x: Tensor) -> None:
    found = build(
        {"name": "lightgcn", "layers": 1, "layer_weights": [0, 1], "relations": ["rates"]}, shop
    )
    expected = pyg.LGConv()(x, edge_index(shop, ["rates", "rated_by"]))
    torch.testing.assert_close(found(x), expected, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("bases", [0, 3])
@pytest.mark.parametrize("residual", [False, True])
def test_rgcn(
    bases: int,
    residual: bool,
    build: Build,
    pyg: ModuleType,
    shop: Graph,
    x: Tensor,
    probe: Tensor,
) -> None:
    names = list(shop.schema.relation_names)
    found: Any = build({"name": "rgcn", "bases": bases, "residual": residual}, shop)
    conv = pyg.RGCNConv(8, 8, len(names), num_bases=bases or None, aggr="mean")
    layer = found.layers[0]
    pairs = [
        (layer.weight, conv.weight, same),
        (layer.root, conv.root, same),
        (layer.bias, conv.bias, same),
    ]
    if bases:
        pairs.append((layer.mixture, conv.comp, same))
    fill(pairs)
    expected = conv(x, edge_index(shop, names), relation_index(shop, names))
    compare(found(x), expected + x if residual else expected, x, probe, pairs)


def test_two_rgcn_layers(build: Build, pyg: ModuleType, shop: Graph, x: Tensor) -> None:
    names = ["rates", "tagged", "kinds"]
    found: Any = build({"name": "rgcn", "layers": 2, "relations": names}, shop)
    expected: Tensor = x
    for number, layer in enumerate(found.layers):
        conv = pyg.RGCNConv(8, 8, 3, aggr="mean")
        pairs = (layer.weight, conv.weight, same), (layer.root, conv.root, same)
        fill([*pairs, (layer.bias, conv.bias, same)])
        expected = expected.relu() if number else expected
        expected = conv(expected, edge_index(shop, names), relation_index(shop, names))
    torch.testing.assert_close(found(x), expected, atol=1e-5, rtol=1e-5)


def gat_pairs(layer: Any, conv: Any) -> Pairs:
    return [
        (layer.weight, conv.lin.weight, lambda weight: weight.T),
        (layer.sender, conv.att_src, same),
        (layer.receiver, conv.att_dst, same),
        (layer.bias, conv.bias, same),
    ]


@pytest.mark.parametrize("heads", [1, 2, 4])
def test_gat(
    heads: int, build: Build, pyg: ModuleType, shop: Graph, x: Tensor, probe: Tensor
) -> None:
    names = list(shop.schema.relation_names)
    found: Any = build({"name": "gat", "heads": heads}, shop)
    conv = pyg.GATConv(8, 8 // heads, heads)
    pairs = gat_pairs(found.layers[0], conv)
    fill(pairs)
    compare(found(x), conv(x, edge_index(shop, names)), x, probe, pairs)


def test_one_gat_in_two_stages(
    build: Build, pyg: ModuleType, shop: Graph, x: Tensor, probe: Tensor
) -> None:
    # As G-BERT over an ontology: up from children, then down from ancestors.
    stages = [["is_a"], ["kinds"]]
    config = {"name": "gat", "heads": 2, "stages": stages, "shared": True, "activation": "none"}
    found: Any = build(config, shop)
    conv = pyg.GATConv(8, 4, 2)
    assert len(found.layers) == 1
    pairs = gat_pairs(found.layers[0], conv)
    fill(pairs)
    expected: Tensor = x
    for names in stages:
        expected = conv(expected, edge_index(shop, names))
    compare(found(x), expected, x, probe, pairs)


@pytest.mark.parametrize("relations", [None, ["rates", "rated_by", "near", "made_by"]])
def test_hgt(
    relations: list[str] | None,
    build: Build,
    pyg: ModuleType,
    shop: Graph,
    x: Tensor,
    probe: Tensor,
) -> None:
    found: Any = build({"name": "hgt", "heads": 2, "relations": relations}, shop)
    names = relations or list(shop.schema.relation_names)
    kinds = [(r.source, r.name, r.target) for r in map(shop.schema.relation, names)]
    types = [name for name in shop.schema.node_names if any(name in kind for kind in kinds)]
    conv = pyg.HGTConv(8, 8, (types, kinds), heads=2)
    layer = found.layers[0]
    pairs = [
        (layer.attention, conv.k_rel.weight, lambda weight: weight.transpose(0, 1)),
        (layer.message, conv.v_rel.weight, lambda weight: weight.transpose(0, 1)),
    ]
    for name in types:
        inward, outward = layer.inward[f"of_{name}"], layer.outward[f"of_{name}"]
        for ours, theirs in ((inward, conv.kqv_lin.lins[name]), (outward, conv.out_lin.lins[name])):
            pairs += [(ours.weight, theirs.weight, same), (ours.bias, theirs.bias, same)]
    for at, kind in enumerate(kinds):
        pairs.append((layer.prior, conv.p_rel["__".join(kind)], lambda prior, at=at: prior[at]))
    for at, name in enumerate(found.entered):
        pairs.append((layer.gate, conv.skip[name], lambda gate, at=at: gate[at]))
    fill(pairs)
    vectors = {name: x[list(shop.nodes(name))] for name in types}
    edges = {}
    for kind in kinds:
        ends = shop.edges(kind[1])
        start = [shop.nodes(kind[0]).start, shop.nodes(kind[2]).start]
        edges[kind] = torch.stack([ends.source - start[0], ends.target - start[1]])
    out = conv(vectors, edges)
    expected = torch.cat([out.get(n, x[list(shop.nodes(n))]) for n in shop.schema.node_names])
    compare(found(x), expected, x, probe, pairs)
    untouched = [
        n for name in shop.schema.node_names if name not in types for n in shop.nodes(name)
    ]
    assert found(x)[untouched].equal(x[untouched])
    assert bool(untouched) == (relations is not None)

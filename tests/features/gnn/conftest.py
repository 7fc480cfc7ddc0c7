"""A small shop with parallel edges, loops, a one-way relation and isolated nodes.

::

    user 0–6, item 7–14, brand 15–17, code 18–23

The last node of each type is isolated, codes hang in a tree, and ``near`` has no inverse.
"""

import warnings
from types import ModuleType

import numpy as np
import polars as pl
import pytest
import torch

from graphrec_pt.features.featurizer import Propagator, propagation
from graphrec_pt.features.seeded import seeded
from graphrec_pt.graph.assemble import EdgeList, assemble
from graphrec_pt.graph.graph import Graph
from graphrec_pt.graph.schema import NodeType, Relation, Schema
from graphrec_pt.graph.spec import GraphSpec
from graphrec_pt.graph.split import keep_edges

COUNTS = {"user": 7, "item": 8, "brand": 3, "code": 6}
WIDTH = 8
LONE = [6, 14, 17, 23]
"""Global ids of the nodes without edges."""


def both_ways(name: str, inverse: str, source: str, target: str, **kind: bool) -> list[Relation]:
    return [
        Relation(name=name, source=source, target=target, inverse=inverse, **kind),
        Relation(name=inverse, source=target, target=source, inverse=name, backward=True, **kind),
    ]


SCHEMA = Schema(
    nodes=tuple(NodeType(name=name) for name in COUNTS),
    relations=(
        *both_ways("rates", "rated_by", "user", "item", weighted=True, interaction=True),
        *both_ways("made_by", "makes", "item", "brand"),
        *both_ways("is_a", "kinds", "code", "code"),
        *both_ways("tagged", "tags", "item", "code"),
        *both_ways("followed_by", "follows", "item", "item", weighted=True, derived=True),
        Relation(name="near", source="item", target="item"),
    ),
)


def edge_lists() -> dict[str, EdgeList]:
    draw = np.random.default_rng(3)

    def strengths(n: int) -> np.ndarray:
        return draw.integers(1, 9, n).astype(np.float32) / 4

    user = np.array([0, 0, 0, 1, 1, 2, 2, 3, 4, 4, 5, 5])
    item = np.array([0, 1, 1, 0, 2, 3, 4, 5, 6, 0, 2, 6])  # user 0 rates item 1 twice
    before = np.array([0, 0, 1, 2, 2, 3, 5, 6])
    after = np.array([1, 2, 0, 2, 3, 4, 6, 0])  # 0 ↔ 1, and item 2 follows itself
    return {
        "rates": EdgeList(user, item, None, strengths(12)),
        "made_by": EdgeList(np.arange(6), np.array([0, 1, 1, 0, 0, 1])),
        "is_a": EdgeList(np.array([0, 1, 2, 3]), np.array([3, 3, 4, 4])),
        "tagged": EdgeList(np.array([0, 1, 3, 5, 5]), np.array([0, 0, 1, 2, 1])),
        "followed_by": EdgeList(before, after, None, strengths(8)),
        "near": EdgeList(np.array([0, 1, 4]), np.array([1, 4, 0])),
    }


@pytest.fixture(scope="session")
def shop() -> Graph:
    made = assemble(SCHEMA, list(COUNTS.values()), edge_lists())
    tables = {
        name: pl.DataFrame({"id": [f"{name[0]}{n}" for n in range(count)]})
        for name, count in COUNTS.items()
    }
    return Graph(
        SCHEMA,
        made.csr,
        tables,
        made.edge_tables,
        made.edge_offset,
        "shop",
        {},
        None,
        made.edge_ids,
    )


@pytest.fixture(scope="session")
def fewer(shop: Graph) -> Graph:
    """The shop without a third of its edges."""
    return keep_edges(shop, torch.arange(shop.num_edge_ids) % 3 != 1)


@pytest.fixture(scope="session")
def spec(shop: Graph) -> GraphSpec:
    return GraphSpec.of(shop)


@pytest.fixture
def x() -> torch.Tensor:
    draw = torch.Generator().manual_seed(1)
    return torch.randn(sum(COUNTS.values()), WIDTH, generator=draw).requires_grad_()


@pytest.fixture
def probe() -> torch.Tensor:
    """What outputs are multiplied with, so that gradients of all of them matter."""
    return torch.randn(sum(COUNTS.values()), WIDTH, generator=torch.Generator().manual_seed(2))


def built(config: dict[str, object] | str, graph: Graph, seed: int = 0) -> Propagator:
    """Return a network with filled weights, bound to a graph."""
    spec = GraphSpec.of(graph)
    network = seeded(lambda: propagation.build(config).build(spec, WIDTH), seed)
    network.attach_graph(graph)
    return network


@pytest.fixture(scope="session")
def build():  # type: ignore[no-untyped-def]
    return built


@pytest.fixture(scope="session")
def pyg() -> ModuleType:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the import tells about packages it can do without
        import torch_geometric.nn
    return torch_geometric.nn

"""A small world to train in, and what to train."""

from typing import Any

import pytest

from graphrec_pt import Graph, Key, Model, Stage
from graphrec_pt.graph.synthetic import synthetic_graph

STRUCTURE = {"type": None, "position": 64, "hop": 4, "parent": 64}


@pytest.fixture(scope="session")
def world() -> Graph:
    return synthetic_graph(120, 80, 1500, key=Key(3))


@pytest.fixture
def new_model() -> Any:
    def make(graph: Graph, **options: Any) -> Model:
        small = {"name": "graph_transformer", "width": 16, "layers": 1, "structure": STRUCTURE}
        return Model.of(graph, backbone={**small, **options})

    return make


@pytest.fixture
def new_stage() -> Any:
    def make(**options: Any) -> Stage:
        given = {
            "sampler": {"name": "k_hop", "fanout": [4, 2]},
            "linearizer": "subgraph",
            "objectives": ["masked_node"],
            "batch": 40,
            "epochs": 2,
            "optimization": {"lr": 1e-2},
        }
        return Stage(**{**given, **options})

    return make

"""A small world to train in, and what to train."""

from pathlib import Path
from typing import Any

import pytest

from graphrec_pt import Graph, Key, Model, Stage, Trainer
from graphrec_pt.data.synthetic import synthetic_graph

STRUCTURE = {"type": None, "position": 64, "hop": 4, "parent": 64}

WIDTH = 16
SIZES = {"hidden_size": WIDTH, "num_hidden_layers": 1, "num_attention_heads": 2}
BERT = {
    "name": "hugging_face",
    "model": {
        "model_type": "bert",
        **SIZES,
        "intermediate_size": 24,
        "vocab_size": 10,
        "max_position_embeddings": 64,
    },
    "structure": {"position": 64, "type": None, "hop": 4, "parent": 64},
}
OURS = {"name": "graph_transformer", "width": WIDTH, "layers": 1, "structure": STRUCTURE}
BACKBONES = {"graph_transformer": OURS, "hugging_face": BERT}


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


@pytest.fixture(scope="session")
def runs(world: Graph, tmp_path_factory: Any) -> Path:
    """Give a folder of models that were pre-trained a little, one of each backbone."""
    folder: Path = tmp_path_factory.mktemp("runs")
    stage = Stage(
        sampler={"name": "k_hop", "fanout": [4, 2]},
        linearizer="subgraph",
        objectives=["masked_node"],
        batch=40,
        steps=1,
        optimization={"lr": 1e-2},
    )
    for name, backbone in BACKBONES.items():
        model = Model.of(world, backbone=backbone)
        Trainer().fit(model, world, stage)
        model.save_pretrained(folder / name)
    return folder


@pytest.fixture(params=BACKBONES)
def pretrained(request: Any, runs: Path) -> Path:
    """Give the folder of a pre-trained model of either backbone."""
    return runs / str(request.param)


@pytest.fixture
def ours(runs: Path) -> Path:
    """Give the folder of a pre-trained graph transformer."""
    return runs / "graph_transformer"

"""Nodes begin with what a pre-trained model makes of them: value by value, at the right moment."""

from typing import Any

import pytest
import torch

from graphrec_pt import Features, Graph, GraphRecError, Key, Model, Stage, Trainer
from graphrec_pt.models.view import View
from graphrec_pt.sampling.sampler import sampler
from graphrec_pt.tokens.linearizer import linearizer
from graphrec_pt.training.strategy import NodeEncoding, encoded_nodes

MCN = {"name": "mcn", "fanout": [4, 2], "size": 3, "weighted": False}
ENCODED = {"node_type": "item", "sampler": MCN, "linearizer": "neighbor_set", "norm": 2.0}
OF_ITEM = "features.of_type.of_item.parts.0.table.weight"


@pytest.fixture
def model(world: Graph) -> Model:
    features = Features(by_type={"item": [{"name": "id", "zero": True}, "number"], "*": ["id"]})
    shape = {"name": "graph_transformer", "width": 16, "layers": 1, "structure": {"hop": 4}}
    return Model.of(world, features=features, backbone=shape)


def test_one_node_by_hand(model: Model, world: Graph) -> None:
    chosen = NodeEncoding(**ENCODED)
    found = encoded_nodes(model, world, chosen)
    assert found.shape == (80, 16)
    assert torch.allclose(found.norm(dim=1), torch.tensor(2.0))
    root = torch.tensor([world.nodes("item")[7]])
    key = Key(0).named("encoding")
    sample = sampler.build(MCN).sample(world, root, key)
    tokens = linearizer.build("neighbor_set").linearize(world, sample, key)
    with torch.no_grad():
        state = model.eval().encode(View(tokens)).hidden[0]  # the root stands first
    assert torch.allclose(found[7], 2 * state / state.norm(), atol=1e-6)


def test_a_stage_begins_with_them_and_a_twin_does_not(model: Model, world: Graph) -> None:
    table = model.get_parameter(OF_ITEM)
    assert not table.any()  # says nothing until it is filled
    frozen = ["model.features.*"]
    before = encoded_nodes(model, world, NodeEncoding(**ENCODED))
    strategy: Any = {"name": "finetune_whole", "init_embeddings_from": ENCODED, "frozen": frozen}
    strategy |= {"reinit": ["model.backbone.*"]}
    stage = Stage(
        sampler="history",
        linearizer="history",
        objectives=["next_item"],
        steps=1,
        strategy=strategy,
    )
    Trainer().fit(model, world, stage)
    assert torch.equal(table, before)  # of the backbone before its reset, frozen since
    assert Stage(**stage.model_dump(mode="json")) == stage


def test_types_without_a_table_are_told(world: Graph, new_model: Any) -> None:
    features = Features(by_type={"item": ["number"], "*": ["id"]})
    backbone = {"name": "graph_transformer", "width": 16, "layers": 1, "structure": {"hop": 4}}
    model = Model.of(world, features=features, backbone=backbone)
    given: dict[str, Any] = {"sampler": "history", "linearizer": "history", "steps": 1}
    given |= {"objectives": ["next_item"]}
    for node_type, told in (("item", "an id feature to fill"), ("itm", "did you mean 'item'")):
        strategy = {
            "name": "finetune_whole",
            "init_embeddings_from": {**ENCODED, "node_type": node_type},
        }
        with pytest.raises(GraphRecError, match=told):
            Trainer().fit(model, world, Stage(strategy=strategy, **given))

"""Items as tokens of a language model: by hand, and ranked as they were taught."""

from typing import Any

import pytest
import torch

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.graph.graph import Graph
from graphrec_pt.models.model import Model
from graphrec_pt.objectives.objective import objective
from graphrec_pt.predict.predictor import Predictor
from graphrec_pt.tokens.kind import Kind, Special
from graphrec_pt.training.stage import Stage
from graphrec_pt.training.trainer import Trainer

BACKBONE: dict[str, Any] = {
    "name": "graph_transformer",
    "width": 16,
    "heads": 2,
    "layers": 1,
    "structure": {"position": 128},
    "mode": "causal",
}
STAGE: dict[str, Any] = {
    "sampler": {"name": "history", "window": 3, "before": "exclude"},
    "linearizer": {
        "name": "verbalizer",
        "phrases": ["after {history} comes"],
        "slots": {"history": {"as": ["node"]}},
    },
    "roots": "buys",
    "objectives": [{"name": "item_token", "types": ["item"]}],
    "batch": 16,
    "steps": 2,
}


def test_the_softmax_is_over_words_and_items(shop: Graph) -> None:
    model = Model.of(shop, backbone=BACKBONE, text="trained:300", seed=1)
    relation = shop.schema.interaction().name
    stage = Stage(**{**STAGE, "roots": relation})
    Trainer(seed=0).fit(model, shop, stage)
    predictor = Predictor(model, shop, stage=stage)
    users = torch.unique(shop.edges(relation).source)[:3]
    scores = predictor.scorer(users).scores(users)
    reading, items = predictor.reading, shop.nodes("item")
    assert scores.shape == (3, len(items))
    head: Any = model.labelled_heads()["item_token"]
    for row, user in enumerate(users):
        tokens = reading.tokens(user[None])
        view = objective.build(STAGE["objectives"][0]).language.readout().prompt(shop, tokens)  # type: ignore[attr-defined]
        assert view.tokens.kind[-1] == Kind.SPECIAL
        assert view.tokens.id[-1] == Special.BOS
        with torch.no_grad():
            hidden = model.encode(view).hidden[-1:]
            sides = head.node.sides(hidden, model.table("item"))
            nodes = sides[0] @ sides[1].T + head.bias
            words = hidden @ model.words.T
            both = torch.cat([words, nodes], dim=1).log_softmax(1)
        assert scores[row].tolist() == pytest.approx(both[0, -len(items) :].tolist(), abs=1e-4)
    assert float(scores.exp().sum(1).max()) < 1  # words have their share


def test_only_items_are_learned(shop: Graph, making: Any) -> None:
    with pytest.raises(GraphRecError, match="mode causal or prefix"):
        objective.build({"name": "item_token", "types": ["item"], "mode": "bidirectional"})
    with pytest.raises(GraphRecError, match="types"):
        objective.build({"name": "item_token", "types": []})

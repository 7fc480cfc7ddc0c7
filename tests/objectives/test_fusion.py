"""Fusion: towers over the catalogue, and a say for what the subgraph holds."""

from math import exp, log
from typing import Any

import pytest
import torch

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.features.seeded import seeded
from graphrec_pt.graph.graph import Graph
from graphrec_pt.models.view import Encoded
from graphrec_pt.objectives.objective import objective

HOPS = {"name": "k_hop", "fanout": [9]}


def test_by_hand(toy: Graph, making: Any, hand: Any) -> None:
    """Towers score 2, 1 and 0; the subgraph adds what the head says of the item inside."""
    chosen: Any = objective.build({"name": "fusion", "temperature": 0.5})
    preparation = making.prepared(toy, HOPS, {"name": "subgraph"}, torch.tensor([0]))
    corrupted = chosen.corrupt(making.examples(preparation, [0]))
    at = corrupted.targets
    seen = corrupted.views[0].tokens.id.tolist()
    assert at["source"].tolist() == [0]
    assert seen[0] == 0
    assert at["target"].item() not in seen  # it was taken out
    items = list(toy.nodes("item"))
    inside = [seen[token] for token in at["token"].tolist()]
    assert inside
    assert set(inside) <= set(items)
    towers = [2.0, 1.0, 0.0]
    model = hand.model(
        toy, {"user": [[1.0, 0]] * 2, "item": [[score / 2, 9.0] for score in towers]}
    )
    head = seeded(lambda: chosen.head(None, 2), 0).double()
    hidden = torch.randn(len(seen), 2, generator=torch.Generator().manual_seed(0)).double()
    with torch.no_grad():
        loss = chosen.loss([Encoded(corrupted.views[0], hidden)], corrupted, model, head)
        scores = towers.copy()
        for token in at["token"].tolist():
            said = head(hidden[:1], hidden[token : token + 1])
            scores[items.index(seen[token])] += float(said[0])
    wanted = scores[items.index(at["target"].item())]
    assert loss.item() == pytest.approx(log(sum(map(exp, scores))) - wanted, rel=1e-5)


def test_sequences_begin_with_their_root(toy: Graph, making: Any) -> None:
    preparation = making.prepared(toy, {"name": "history"}, {"name": "history"}, torch.tensor([0]))
    with pytest.raises(GraphRecError, match="sequences that begin with their root"):
        objective.build("fusion").corrupt(making.examples(preparation, [0]))

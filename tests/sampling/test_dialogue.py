"""Turns of a dialogue."""

from typing import Any

import pytest
import torch

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.core.key import Key
from graphrec_pt.graph.graph import Graph
from graphrec_pt.sampling.sample import Subgraphs
from graphrec_pt.sampling.sampler import sampler

KEY = Key(4)


def sample(graph: Graph, config: dict[str, Any], *given: Any) -> Subgraphs:
    found = sampler.build(config).sample(graph, *given)
    assert isinstance(found, Subgraphs)
    return found


def test_dialogue(train: Graph) -> None:
    turns = torch.arange(28, 38)
    found = sample(train, {"name": "dialogue", "turns": 2}, turns, KEY)
    own = sample(train, {"name": "dialogue", "turns": 2, "own": True}, turns, KEY)
    before = {0: [], 1: [0], 2: [1, 0], 3: [2, 1], 4: [], 5: [4], 6: [5, 4], 7: [6, 5]}
    for turn in range(10):
        expected, slots = [], []
        for back, other in enumerate(before.get(turn, []), 1):
            said = [28 + other, *train.neighbors(28 + other, "mentions").tolist()]
            expected += said
            slots += [back] * len(said)
        mine = found.select(turn)
        assert mine.node.tolist() == [28 + turn, *expected]
        assert mine.slot.tolist() == [0, *slots]
        named = train.neighbors(28 + turn, "mentions").tolist()
        assert own.select(turn).node.tolist() == [28 + turn, *named, *expected]
    with pytest.raises(GraphRecError, match="leaves 'turn' at hop 1"):
        sample(train, {"name": "dialogue", "mentions": ["rates"]}, turns, KEY)
    with pytest.raises(GraphRecError, match="leaves 'item' at hop 2"):
        sample(train, {"name": "dialogue", "previous": "mentions"}, turns, KEY)

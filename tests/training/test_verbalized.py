"""Text templates as the hard prompt of the two strategies that need one."""

from typing import Any

import pytest
import torch

from graphrec_pt import Graph, Model, Stage, Trainer
from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.tokens.linearizer import linearizer
from graphrec_pt.tokens.verbalizer import Verbalizer
from graphrec_pt.training.stage import usage_of

PHRASES = ["I bought {history} , then {MASK:item}", "{history} and next {MASK:item}", "{MASK:item}"]
NETWORK = {"name": "graph_transformer", "width": 16, "layers": 1, "structure": {"position": 64}}
READS = {"name": "verbalizer", "phrases": PHRASES, "held": [1], "tokenizer": "hashed:64"}


def asking(strategy: str) -> Stage:
    return Stage(
        sampler={"name": "history", "window": 5, "before": "exclude"},
        linearizer=READS,
        objectives=[{"name": "answer", "candidates": {"transform": False}}],
        roots="rates",
        strategy=strategy,
        steps=4,
        batch=32,
        optimization={"lr": 1e-2},
        name=strategy,
    )


def test_both_hard_strategies_take_a_phrase(world: Graph) -> None:
    model = Model.of(world, backbone=NETWORK, text=64)
    stages = [asking("tune_with_fixed_prompt"), asking("prompt_free")]
    before = [w.clone() for w in model.parameters()]
    Trainer().fit(model, world, stages[0])
    after = [w.clone() for w in model.parameters()]
    assert any(not torch.equal(a, b) for a, b in zip(before, after, strict=True))
    Trainer().fit(model, world, stages[1])
    now = list(model.parameters())
    assert all(torch.equal(a, b) for a, b in zip(after, now, strict=True))  # it only asks


def test_an_untrained_prompt_asks_the_held_phrases(world: Graph) -> None:
    tuned, free = asking("tune_with_fixed_prompt"), asking("prompt_free")
    for stage, phrase in ((tuned, 0), (free, 1)):
        assert isinstance(stage.reads, Verbalizer)
        assert stage.reads.prompt == PHRASES[phrase]
    usage: Any = usage_of(free)
    assert usage.linearizer["ask"] == "held"
    assert usage_of(tuned).linearizer["ask"] == "trained"


@pytest.mark.parametrize("strategy", ["tune_with_fixed_prompt", "prompt_free"])
def test_a_phrase_that_the_data_lacks_stops_before_training(world: Graph, strategy: str) -> None:
    stage = asking(strategy)
    wrong = {**READS, "phrases": ["by {artist}", "and {artist}"], "held": [1]}
    stage = stage.model_copy(update={"linearizer": linearizer.build(wrong)})
    model = Model.of(world, backbone=NETWORK, text=64)
    with pytest.raises(GraphRecError, match=r"a slot that the data has, got \{artist\}"):
        Trainer().fit(model, world, stage)

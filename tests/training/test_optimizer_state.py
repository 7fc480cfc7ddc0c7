"""An optimiser goes on from a saved state as if it had never stopped."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim import SGD, AdamW, Optimizer

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.training.checkpoint import load_checkpoint, save_checkpoint
from graphrec_pt.training.optimizer import load_optimizer, save_optimizer

Make = Callable[[Any], Optimizer]
MAKERS: dict[str, Make] = {
    "adamw": lambda named: AdamW(named, lr=0.1, betas=(0.8, 0.9), amsgrad=True),
    "sgd": lambda named: SGD(named, lr=0.1, momentum=0.9, nesterov=True),
    "plain sgd": lambda named: SGD(named, lr=0.1),
    "tensor rate": lambda named: AdamW(named, lr=torch.tensor(0.1), capturable=False),
}


def network(seed: int = 0) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4), nn.Linear(4, 2))


def train(net: nn.Module, optimizer: Optimizer, steps: range) -> None:
    for step in steps:
        x = torch.randn(8, 3, generator=torch.Generator().manual_seed(step))
        optimizer.zero_grad()
        net(x).square().sum().backward()
        optimizer.step()


def grouped(net: nn.Module, *, backwards: bool = False) -> list[dict[str, Any]]:
    named = list(net.named_parameters())
    first, second = named[:2], named[2:]
    if backwards:
        first, second = first[::-1], second[::-1]
    return [{"params": first, "weight_decay": 0.5}, {"params": second, "lr": 0.01}]


def states(net: nn.Module, optimizer: Optimizer) -> dict[str, Tensor]:
    return {**dict(net.named_parameters()), **save_optimizer(optimizer)[0]}


@pytest.mark.parametrize("kind", MAKERS)
@pytest.mark.parametrize("backwards", [False, True])
def test_resumed_to_the_bit(tmp_path: Path, kind: str, backwards: bool) -> None:
    through = network()
    straight = MAKERS[kind](grouped(through))
    train(through, straight, range(7))

    first = network()
    before = MAKERS[kind](grouped(first))
    train(first, before, range(4))
    tensors, state = save_optimizer(before)
    save_checkpoint(tmp_path, 4, {**first.state_dict(), **tensors}, {"optimizer": state})

    found = load_checkpoint(tmp_path)
    second = network(seed=1)
    second.load_state_dict({name: found.tensors[name] for name in second.state_dict()})
    after = MAKERS[kind](grouped(second, backwards=backwards))
    load_optimizer(after, {n: found.tensors[n] for n in tensors}, found.state["optimizer"])
    assert [type(g["lr"]) for g in after.param_groups] == [
        type(g["lr"]) for g in before.param_groups
    ]
    train(second, after, range(4, 7))
    expected, mine = states(through, straight), states(second, after)
    assert expected.keys() == mine.keys()
    assert all(torch.equal(expected[name], mine[name]) for name in expected)


def test_names_and_json() -> None:
    net = network()
    optimizer = MAKERS["adamw"](grouped(net))
    train(net, optimizer, range(1))
    tensors, state = save_optimizer(optimizer)
    entries = ("step", "exp_avg", "exp_avg_sq", "max_exp_avg_sq")
    assert set(tensors) == {f"{n}/{e}" for n, _ in net.named_parameters() for e in entries}
    assert json.loads(json.dumps(state)) == json.loads(json.dumps(state, allow_nan=False))
    assert state["class"] == "AdamW"
    assert state["shapes"]["0.weight"] == [4, 3]
    assert state["groups"][0]["param_names"] == ["0.weight", "0.bias"]
    assert [(g["lr"], g["weight_decay"]) for g in state["groups"]] == [(0.1, 0.5), (0.01, 0.01)]


def test_states_that_do_not_fit() -> None:
    net = network()
    optimizer = MAKERS["adamw"](grouped(net))
    train(net, optimizer, range(1))
    tensors, state = save_optimizer(optimizer)
    with pytest.raises(GraphRecError, match="expected AdamW, got SGD"):
        load_optimizer(MAKERS["sgd"](grouped(net)), tensors, state)
    with pytest.raises(GraphRecError, match=r"missing \['0.bias'\], not saved \[\]"):
        load_optimizer(
            AdamW([{"params": [p for p in g["params"] if p[0] != "0.bias"]} for g in grouped(net)]),
            tensors,
            state,
        )
    with pytest.raises(GraphRecError, match="1 groups that share them out otherwise"):
        load_optimizer(MAKERS["adamw"](net.named_parameters()), tensors, state)
    wider = nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4), nn.Linear(4, 3))
    with pytest.raises(GraphRecError, match=r"2.weight: expected shape \[2, 4\], got \[3, 4\]"):
        load_optimizer(MAKERS["adamw"](grouped(wider)), tensors, state)
    with pytest.raises(GraphRecError, match=r"a parameter's name, got '0\.wight'; did you mean"):
        load_optimizer(optimizer, {"0.wight/exp_avg": torch.ones(4, 3)}, state)
    with pytest.raises(GraphRecError, match="an optimiser made from named parameters"):
        save_optimizer(AdamW(net.parameters()))

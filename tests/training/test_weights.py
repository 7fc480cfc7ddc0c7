"""Averages by hand and by torch; swapping leaves no trace; resuming neither."""

from pathlib import Path

import pytest
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.training.checkpoint import load_checkpoint, save_checkpoint
from graphrec_pt.training.weights import Average


def network() -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))


@torch.no_grad()
def move(net: nn.Module, step: int) -> None:
    draw = torch.Generator().manual_seed(step)
    for parameter in net.parameters():
        parameter.add_(torch.randn(parameter.shape, generator=draw))


def number(value: float) -> nn.Parameter:
    return nn.Parameter(torch.tensor([value]))


def test_by_hand() -> None:
    parameter = number(0.0)
    average = Average([("p", parameter)], decay=0.75, warmup=False)
    expected = 0.0
    for value in (4.0, 8.0, -4.0):
        with torch.no_grad():
            parameter.fill_(value)
        average.update()
        expected = 0.75 * expected + 0.25 * value
        assert float(average.tensors()["average/p"]) == expected


def test_warm_up_by_hand() -> None:
    parameter = number(0.0)
    average = Average([("p", parameter)], decay=0.15)
    expected = 0.0
    with torch.no_grad():
        parameter.fill_(1.0)
    for decay in (1 / 10, 0.15, 0.15):  # 2/11 is above it
        average.update()
        expected = decay * expected + (1 - decay)
        assert float(average.tensors()["average/p"]) == pytest.approx(expected)


def test_torch_says_the_same_to_the_bit() -> None:
    net = network()
    oracle = AveragedModel(net, multi_avg_fn=get_ema_multi_avg_fn(0.9))
    oracle.update_parameters(net)  # the first one copies
    average = Average(net.named_parameters(), decay=0.9, warmup=False)
    for step in range(20):
        move(net, step)
        oracle.update_parameters(net)
        average.update()
    with average.swapped():
        for mine, other in zip(net.parameters(), oracle.module.parameters(), strict=True):
            assert torch.equal(mine, other)


def test_swapping_leaves_no_trace() -> None:
    net = network()
    average = Average(net.named_parameters(), decay=0.9)
    move(net, 0)
    average.update()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    homes = [parameter.data_ptr() for parameter in net.parameters()]

    def interrupted() -> None:
        with average.swapped():
            assert not torch.equal(net.state_dict()["0.weight"], before["0.weight"])
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert [parameter.data_ptr() for parameter in net.parameters()] == homes
    assert all(parameter.requires_grad for parameter in net.parameters())


def test_resumed_to_the_bit(tmp_path: Path) -> None:
    net, other = network(), network()
    through = Average(net.named_parameters())
    for step in range(12):
        move(net, step)
        through.update()
        if step == 6:
            save_checkpoint(tmp_path, 7, {**net.state_dict(), **through.tensors()}, {})
    found = load_checkpoint(tmp_path).tensors
    resumed = Average(other.named_parameters())
    other.load_state_dict({name: found[name] for name in other.state_dict()})
    resumed.load({name: found[name] for name in resumed.tensors()})
    for step in range(7, 12):
        move(other, step)
        resumed.update()
    expected, mine = through.tensors(), resumed.tensors()
    assert int(mine["updates"]) == 12
    assert expected.keys() == mine.keys()
    assert all(torch.equal(expected[name], mine[name]) for name in expected)


def test_frozen_parameters_are_left_out() -> None:
    net = network()
    net[0].requires_grad_(False)
    names = set(Average(net.named_parameters()).tensors())
    trained = {"1.weight", "1.bias", "2.weight", "2.bias"}
    assert names == {"updates"} | {f"average/{name}" for name in trained}


def test_half_precision_is_averaged_in_single() -> None:
    parameter = nn.Parameter(torch.ones(1, dtype=torch.bfloat16))
    average = Average([("p", parameter)], decay=0.999, warmup=False)
    with torch.no_grad():
        parameter.fill_(2)
    for _ in range(100):
        average.update()
    expected = 2 - 0.999**100
    assert float(average.tensors()["average/p"]) == pytest.approx(expected, abs=1e-4)
    with average.swapped():
        assert parameter.dtype == torch.bfloat16
        assert float(parameter.detach()) == pytest.approx(
            expected, abs=1e-2
        )  # bf16 alone would stay at 1


def test_states_and_options_that_do_not_fit() -> None:
    with pytest.raises(GraphRecError, match="0 <= decay < 1, got 1"):
        Average([], decay=1.0)
    average = Average(network().named_parameters())
    for wrong in (
        {n: t for n, t in average.tensors().items() if n != "average/0.bias"},
        average.tensors() | {"average/0.bias": torch.ones(5)},
    ):
        with pytest.raises(GraphRecError, match=r"got others: \['average/0.bias'\]"):
            average.load(wrong)

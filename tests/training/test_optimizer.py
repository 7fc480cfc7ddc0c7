"""Rules over parameter names: what trains, how fast, with what decay."""

from typing import Any

import pytest
import torch
from torch import nn
from torch.optim import SGD, AdamW

from graphrec_pt.core.errors import ConfigErrors, GraphRecError
from graphrec_pt.training.optimizer import (
    ParameterGroups,
    ParameterRule,
    only_trained,
    parameter_groups,
    scale_rates,
)


class Toy(nn.Module):
    """An embedding tied to the output, two layers and a norm."""

    def __init__(self) -> None:
        super().__init__()
        self.items = nn.Embedding(5, 4)
        self.layers = nn.ModuleList([nn.Linear(4, 4) for _ in range(2)])
        self.norm = nn.LayerNorm(4)
        self.head = nn.Linear(4, 5)
        self.head.weight = self.items.weight

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        x = self.items(ids)
        for layer in self.layers:
            x = layer(x).relu()
        out: torch.Tensor = self.head(self.norm(x))
        return out


NAMES = [
    *("items.weight", "layers.0.weight", "layers.0.bias", "layers.1.weight", "layers.1.bias"),
    *("norm.weight", "norm.bias", "head.bias"),
]


def options(found: ParameterGroups) -> dict[str, tuple[float, float]]:
    return {
        name: (group["lr"], group["weight_decay"])
        for group in found.groups
        for name, _ in group["params"]
    }


def rule(pattern: str, **matters: Any) -> ParameterRule:
    return ParameterRule(pattern, **matters)


def test_only_matrices_decay_by_default() -> None:
    found = parameter_groups(Toy(), lr=0.5, weight_decay=0.1)
    decayed = {"layers.0.weight", "layers.1.weight"}
    assert options(found) == {name: (0.5, 0.1 if name in decayed else 0.0) for name in NAMES}
    assert found.frozen == frozenset()
    assert found.trained == 20 + 2 * (16 + 4) + 4 + 4 + 5
    assert len(found.groups) == 2


def test_later_rules_win_in_what_they_speak_of() -> None:
    rules = [
        rule("*", freeze=True, lr=0.1),
        rule("layers.1.*", freeze=False),
        rule("norm.*", freeze=False, lr=2, weight_decay=0.3),
        rule("*.bias", lr=1),
    ]
    found = parameter_groups(Toy(), rules, lr=0.5, weight_decay=0.1)
    assert options(found) == {
        "layers.1.weight": (0.05, 0.1),
        "layers.1.bias": (0.5, 0.0),
        "norm.weight": (1.0, 0.3),
        "norm.bias": (0.5, 0.3),
    }
    assert found.frozen == {"items.weight", "layers.0.weight", "layers.0.bias", "head.bias"}
    assert found.trained == 20 + 8


def test_what_asks_for_no_gradient_stays_frozen_unless_a_rule_says_otherwise() -> None:
    net = Toy()
    net.items.requires_grad_(False)
    assert parameter_groups(net).frozen == {"items.weight"}
    assert not parameter_groups(net, [rule("items.*", freeze=False)]).frozen
    nothing = parameter_groups(net, [rule("*", freeze=True)])
    assert (nothing.groups, nothing.trained) == ([], 0)
    assert nothing.frozen == set(NAMES)


@pytest.mark.parametrize("kind", [AdamW, SGD])
def test_one_step_moves_what_trains_and_nothing_else(kind: Any) -> None:
    net = Toy()
    net.norm.requires_grad_(False)
    rules = [rule("*", freeze=True), rule("layers.1.*", freeze=False)]
    found = parameter_groups(net, rules, lr=0.1)
    before = {name: value.detach().clone() for name, value in net.named_parameters()}
    with only_trained(net, found):
        optimizer = kind(found.groups)
        net(torch.arange(5)).square().sum().backward()
        optimizer.step()
        assert {n for n, p in net.named_parameters() if p.grad is not None} == {
            "layers.1.weight",
            "layers.1.bias",
        }
    for name, value in net.named_parameters():
        assert torch.equal(value, before[name]) == (name in found.frozen)
    flags = {name: value.requires_grad for name, value in net.named_parameters()}
    assert flags == {name: not name.startswith("norm") for name in NAMES}


def test_flags_come_back_after_an_error() -> None:
    net = Toy()
    found = parameter_groups(net, [rule("layers.*", freeze=True)])

    def interrupted() -> None:
        with only_trained(net, found):
            assert not net.layers[0].get_parameter("weight").requires_grad
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert all(parameter.requires_grad for parameter in net.parameters())


def test_rates_follow_a_factor() -> None:
    found = parameter_groups(Toy(), [rule("norm.*", lr=3)], lr=0.5)
    optimizer = AdamW(found.groups)
    for factor in (0.5, 0.1, 1.0):
        scale_rates(optimizer, factor)
        rates = {g["param_names"][0]: g["lr"] for g in optimizer.param_groups}
        assert rates["items.weight"] == 0.5 * factor
        assert rates["norm.weight"] == 1.5 * factor


@pytest.mark.parametrize(
    ("pattern", "hint"),
    [
        ("layer.0.*", r"did you mean 'layers.0.\*'"),
        ("norm.wieght", "did you mean 'norm.weight'"),
        ("zzz", r"one of head.\*, items.\*, layers.\*, norm.\*"),
        ("Norm.weight", "did you mean 'norm.weight'"),
    ],
)
def test_a_pattern_that_matches_nothing(pattern: str, hint: str) -> None:
    with pytest.raises(GraphRecError, match=f"a pattern that matches, got {pattern!r}.*{hint}"):
        parameter_groups(Toy(), [rule("*"), rule(pattern, freeze=True)])


def test_every_wrong_pattern_is_told_at_once() -> None:
    with pytest.raises(ConfigErrors) as caught:
        parameter_groups(Toy(), [rule("a"), rule("*"), rule("b")])
    assert len(caught.value.errors) == 2


def test_options_of_a_rule() -> None:
    with pytest.raises(ValueError, match="greater than or equal to 0"):
        rule("*", lr=-1)
    with pytest.raises(ValueError, match="frezze"):
        rule("*", frezze=True)

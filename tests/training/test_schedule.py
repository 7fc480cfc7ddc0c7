"""Factors by hand and by transformers; all of them pure."""

import pytest
import torch
from torch.optim import SGD
from transformers import (
    get_constant_schedule_with_warmup,
    get_cosine_schedule_with_warmup,
    get_linear_schedule_with_warmup,
)

from graphrec_pt.core.errors import ConfigErrors, GraphRecError
from graphrec_pt.testing import check_schedule
from graphrec_pt.training.schedule import Schedule, schedule

CONFIGS = {
    "constant": {"warmup": 10},
    "linear": {"warmup": 0.25, "floor": 0.1},
    "cosine": {"warmup": 3},
    "curriculum": {"points": [[0, 0], [0.3, 1]]},
    "ramp": {"points": [[0, 2], [0.5, 1], [0.9, 0]]},
    "alternate": {"which": 2, "period": 4, "turns": 3},
}


def make(name: str, **options: object) -> Schedule:
    return schedule.build({"name": name, **options})


def factors(chosen: Schedule, total: int, steps: int | None = None) -> list[float]:
    return [chosen.factor(step, total) for step in range(steps or total)]


def test_every_schedule_is_here() -> None:
    assert schedule.names() == sorted(CONFIGS)


@pytest.mark.parametrize("name", CONFIGS)
def test_factors_are_pure_and_configs_come_back(name: str) -> None:
    chosen = make(name, **CONFIGS[name])
    check_schedule(chosen)
    forward = factors(chosen, 40)
    assert all(0 <= factor <= 2 for factor in forward)
    again = schedule.build(schedule.config(chosen))
    assert again == chosen
    assert factors(again, 40) == forward
    assert hash(again) == hash(chosen)


def test_by_hand() -> None:
    assert factors(make("constant"), 3) == [1, 1, 1]
    assert factors(make("constant", warmup=4), 6) == [0, 0.25, 0.5, 0.75, 1, 1]
    assert factors(make("constant", warmup=0.5), 4) == [0, 0.5, 1, 1]
    assert factors(make("linear", warmup=2), 6) == [0, 0.5, 1, 0.75, 0.5, 0.25]
    assert factors(make("linear", floor=0.5), 4, 6) == [1, 0.875, 0.75, 0.625, 0.5, 0.5]
    half = 0.5**0.5
    assert factors(make("cosine"), 4, 6) == pytest.approx(
        [1, (1 + half) / 2, 0.5, (1 - half) / 2, 0, 0]
    )
    assert make("cosine", floor=0.2).factor(2, 4) == pytest.approx(0.6)
    assert factors(make("curriculum", **CONFIGS["curriculum"]), 10) == [0] * 3 + [1] * 7
    ramp = make("ramp", **CONFIGS["ramp"])
    assert factors(ramp, 20, 22) == pytest.approx(
        [2 - n / 10 for n in range(10)] + [1 - n / 8 for n in range(8)] + [0] * 4
    )
    assert factors(make("ramp"), 4, 5) == [0, 0.25, 0.5, 0.75, 1]
    assert factors(make("alternate", which=0), 5) == [1, 0, 1, 0, 1]
    assert factors(make("alternate", **CONFIGS["alternate"]), 13) == [0] * 8 + [1] * 4 + [0]


def test_turns_share_every_step() -> None:
    turns = [make("alternate", which=which, period=3, turns=4) for which in range(4)]
    assert [sum(turn.factor(step, 30) for turn in turns) for step in range(30)] == [1] * 30


@pytest.mark.parametrize(("warmup", "total"), [(0, 7), (1, 5), (10, 100), (5, 5), (8, 5)])
def test_transformers_says_the_same(warmup: int, total: int) -> None:
    def oracle(kind: str) -> list[float]:
        optimizer = SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
        stateful = {
            "constant": lambda: get_constant_schedule_with_warmup(optimizer, warmup),
            "linear": lambda: get_linear_schedule_with_warmup(optimizer, warmup, total),
            "cosine": lambda: get_cosine_schedule_with_warmup(optimizer, warmup, total),
        }[kind]()
        found = []
        for _ in range(total):
            found.append(stateful.get_last_lr()[0])
            optimizer.step()
            stateful.step()
        return found

    for kind in ("constant", "linear", "cosine"):
        mine = factors(make(kind, warmup=warmup), total)
        assert mine == pytest.approx(oracle(kind), abs=1e-12)


def test_past_the_end_nothing_rises_again() -> None:
    for kind in ("linear", "cosine"):  # the cosine of transformers does
        assert factors(make(kind), 3, 9)[3:] == pytest.approx([0] * 6)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"name": "cosin"}, "did you mean 'cosine'"),
        ({"name": "cosine", "warmup": -1}, "greater than or equal to 0"),
        ({"name": "linear", "floor": 2}, "less than or equal to 1"),
        ({"name": "curriculum", "points": []}, "shares of the run ascending from 0"),
        ({"name": "curriculum", "points": [(0.5, 1)]}, r"ascending from 0 .*got \[0.5\]"),
        ({"name": "ramp", "points": [(0, 1), (0.5, 1), (0.5, 2)]}, "ascending from 0"),
        ({"name": "ramp", "points": [(0, 1), (2, 1)]}, "to at most 1"),
        ({"name": "alternate", "which": 2}, r"which in \[0, 2\), got 2"),
        ({"name": "alternate", "period": 0}, "greater than or equal to 1"),
    ],
)
def test_configs_that_make_no_sense(config: dict[str, object], message: str) -> None:
    with pytest.raises((GraphRecError, ConfigErrors), match=message):
        schedule.build(config)

"""Pointwise ranking: yes or no."""

from collections.abc import Callable
from math import exp, log
from typing import Any

import pytest
import torch

from graphrec_pt.graph.graph import Graph
from graphrec_pt.objectives.objective import objective
from graphrec_pt.objectives.pointwise import bce

PAST, EVENTS = {"name": "history"}, {"name": "history"}


def test_bce_by_hand() -> None:
    positive, negative = torch.tensor([2.0, 0.0]), torch.tensor([[1.0, 2.0], [3.0, -1.0]])
    true = [log(1 + exp(-score)) for score in (2, 0)]
    false = [log(1 + exp(score)) for score in (1, 2, 3, -1)]
    assert bce(positive, negative).item() == pytest.approx(sum(true + false) / 6)
    assert bce(positive[:0], negative[:0]).item() == 0


def test_the_sigmoid_is_applied_once(toy: Graph, making: Any, hand: Any) -> None:
    chosen: Any = objective.build({"name": "pointwise", "pairs": {"user": "vector"}})
    preparation = making.prepared(toy, PAST, EVENTS, torch.tensor([0]))
    corrupted = chosen.corrupt(making.examples(preparation, [0]))
    model = hand.model(toy, {"user": [[1, 2], [0, 0]], "item": [[0, 0], [3, 4], [1, -1]]})
    loss = chosen.loss([], corrupted, model, chosen.head(None, 2))
    # Scores 11 and −1; a second sigmoid could not come near the first logarithm.
    assert loss.item() == pytest.approx((log(1 + exp(-11)) + log(1 + exp(-1))) / 2)


@pytest.mark.parametrize("user", ["state", "vector"])
def test_gradients(toy: Graph, making: Any, hand: Any, user: str) -> None:
    examples = making.examples(making.prepared(toy, PAST, EVENTS, torch.tensor([0, 1])), [0, 1])
    pairs = {"user": user, "temperature": 2.0, "negatives": 2}
    assert hand.gradients_hold({"name": "pointwise", "pairs": pairs}, examples)


def test_learns(board: Graph, fit: Callable[..., Any]) -> None:
    users = torch.tensor(list(board.nodes("user")))
    config = {"name": "pointwise", "pairs": {"user": "vector", "negatives": 1}}
    found = fit(board, config, PAST, EVENTS, users, steps=80, rate=3e-2)
    assert found.losses[0] == pytest.approx(log(2), abs=0.02)
    assert found.last < 0.7 * log(2)

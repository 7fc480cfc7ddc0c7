"""Pairwise ranking: true before false."""

from collections.abc import Callable
from math import exp, log
from typing import Any

import pytest
import torch

from graphrec_pt.graph.graph import Graph
from graphrec_pt.objectives.objective import objective
from graphrec_pt.objectives.pairwise import bpr

PAST, EVENTS = {"name": "history"}, {"name": "history"}


def test_bpr_by_hand() -> None:
    positive, negative = torch.tensor([2.0, 0.0]), torch.tensor([[1.0, 2.0], [3.0, -1.0]])
    margins = [1, 0, -3, 1]
    expected = sum(log(1 + exp(-margin)) for margin in margins) / 4
    assert bpr(positive, negative).item() == pytest.approx(expected)
    assert bpr(positive[:0], negative[:0]).item() == 0


def test_by_hand(toy: Graph, making: Any, hand: Any) -> None:
    chosen: Any = objective.build("pairwise")
    preparation = making.prepared(toy, PAST, EVENTS, torch.tensor([0]))
    corrupted = chosen.corrupt(making.examples(preparation, [0]))
    assert corrupted.views[0].tokens.id.tolist() == [2]  # item 3 is to be found, 4 is the other
    model = hand.model(toy, {"item": [[0, 0], [3, 4], [1, -1]]})
    loss = chosen.loss([hand.encoded([[0.5, 0.25]])], corrupted, model, chosen.head(None, 2))
    assert loss.item() == pytest.approx(log(1 + exp(-(2.5 - 0.25))))


@pytest.mark.parametrize("user", ["state", "vector"])
def test_gradients(toy: Graph, making: Any, hand: Any, user: str) -> None:
    examples = making.examples(making.prepared(toy, PAST, EVENTS, torch.tensor([0, 1])), [0, 1])
    pairs = {"user": user, "cosine": True, "temperature": 0.5, "negatives": 2}
    assert hand.gradients_hold({"name": "pairwise", "pairs": pairs}, examples)


@pytest.mark.parametrize("user", ["state", "vector"])
def test_learns(board: Graph, fit: Callable[..., Any], user: str) -> None:
    """On the checkerboard what is liked has the user's colour, negatives have the other one."""
    users = torch.tensor(list(board.nodes("user")))
    config = {"name": "pairwise", "pairs": {"user": user, "pool": "mean", "negatives": 4}}
    found = fit(board, config, PAST, EVENTS, users, steps=60, rate=3e-2)
    # A user's own item has the own colour and is a negative too: one in nine cannot be told.
    assert found.losses[0] > 0.9 * log(2)
    assert found.last < 0.6 * log(2)

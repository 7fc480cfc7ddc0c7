"""Two versions of a history among those of others."""

from collections.abc import Callable
from math import exp, log
from typing import Any

import pytest
import torch

from graphrec_pt.graph.graph import Graph
from graphrec_pt.objectives.objective import objective

NAME = "history_contrast"
PAST, EVENTS = {"name": "history"}, {"name": "history"}


def test_by_hand(ring: Graph, making: Any, hand: Any) -> None:
    preparation = making.prepared(ring, PAST, EVENTS, torch.tensor([0, 1]))
    views = hand.encoded([[4, 0], [0, 1]], [0, 1, 2]), hand.encoded([[1, 0], [0, 9]], [0, 1, 2])
    # Cosines are 1 with the own version, 0 with every other.
    for form, others in (("nt_xent", 2), ("info_nce", 1)):
        chosen: Any = objective.build({"name": NAME, "loss_form": form, "temperature": 0.5})
        corrupted = chosen.corrupt(making.examples(preparation, [0, 1]))
        loss = chosen.loss(views, corrupted, None, chosen.head(None, 2))
        assert loss.item() == pytest.approx(log(1 + others * exp(-2)))


def test_versions_are_drawn_apart(ring: Graph, making: Any) -> None:
    preparation = making.prepared(ring, PAST, EVENTS, torch.arange(24))
    chosen: Any = objective.build(NAME)
    corrupted = chosen.corrupt(making.examples(preparation, torch.arange(24)))
    first, second = (view.tokens for view in corrupted.views)
    assert corrupted.count == len(first) == len(second) == 24
    differ = sum(first.select(n).id.tolist() != second.select(n).id.tolist() for n in range(24))
    assert differ > 18


def test_who_did_nothing_is_left_out(shop: Graph, making: Any) -> None:
    users = torch.tensor([15, 0, 15])  # 15 rates nothing
    examples = making.examples(
        making.prepared(shop, PAST, {**EVENTS, "root": True}, users), [0, 1, 2]
    )
    corrupted: Any = objective.build(NAME).corrupt(examples)
    assert corrupted.count == 1
    assert all(len(view.tokens) == 1 for view in corrupted.views)


@pytest.mark.parametrize("options", [{}, {"loss_form": "info_nce", "projection": True}])
def test_gradients(ring: Graph, making: Any, hand: Any, options: dict[str, Any]) -> None:
    examples = making.examples(making.prepared(ring, PAST, EVENTS, torch.arange(24)), [0, 5, 9])
    assert hand.gradients_hold({"name": NAME, **options}, examples)


def test_learns(ring: Graph, fit: Callable[..., Any]) -> None:
    config = {"name": NAME, "augment": {"operations": ["drop"]}, "temperature": 0.2}
    found = fit(ring, config, PAST, EVENTS, torch.arange(12), steps=60, rate=1e-2)
    assert found.losses[0] > 0.7 * log(23)  # 12 histories, two versions each
    assert found.last < 0.7 * log(23)

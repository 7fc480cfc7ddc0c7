"""Masked items of a history: told from an item that was not there."""

from collections.abc import Callable
from math import exp, log
from typing import Any

import pytest
import torch

from graphrec_pt.graph.graph import Graph
from graphrec_pt.objectives.objective import objective
from graphrec_pt.tokens.kind import Kind

CONFIG: dict[str, Any] = {
    "name": "masked_item_prediction",
    "candidates": {"how": "pairwise", "transform": False},
}
PAST, EVENTS = {"name": "history"}, {"name": "history"}


def test_by_hand(toy: Graph, making: Any, hand: Any) -> None:
    chosen: Any = objective.build({**CONFIG, "masking": {"share": 0.1, "least": 0}})
    preparation = making.prepared(toy, PAST, EVENTS, torch.tensor([0]))
    corrupted = chosen.corrupt(making.examples(preparation, [0]))
    assert corrupted.targets["node"].tolist() == [3]  # the last one; 4 is the only one outside
    model = hand.model(toy, {"item": [[5, 5], [1, 2], [3, -1]]})
    # The state (1, 0.5) scores 2 with item 3 and 2.5 with item 4: one sigmoid of the difference.
    loss = chosen.loss([hand.encoded([[9, 9], [1, 0.5]])], corrupted, model, chosen.head(None, 2))
    assert loss.item() == pytest.approx(log(1 + exp(0.5)))


def test_negatives_were_never_in_the_history(ring: Graph, making: Any) -> None:
    users = torch.arange(24)
    preparation = making.prepared(ring, PAST, EVENTS, users)
    outside = 0
    for epoch in range(4):
        examples = making.examples(preparation, users, epoch=epoch)
        corrupted = objective.build({**CONFIG, "masking": {"share": 0.5}}).corrupt(examples)
        at, tokens = corrupted.targets, examples.tokens
        other = 24 + (at["node"] - 24 + at["step"]) % 12
        for token, negative in zip(at["token"].tolist(), other.tolist(), strict=True):
            row = int(tokens.sequence_of()[token])
            history = tokens.id[int(tokens.ptr[row]) : int(tokens.ptr[row + 1])]
            outside += negative not in history.tolist()
            assert negative != int(tokens.id[token])
    # Half of the catalogue is inside: four draws fail one time in 2**4 and less.
    assert outside / (4 * 24 * 3) > 0.9


def test_the_last_item_and_some_others_are_hidden(ring: Graph, making: Any) -> None:
    preparation = making.prepared(ring, PAST, EVENTS, torch.arange(24))
    examples = making.examples(preparation, torch.arange(24))
    for last in (True, False):
        chosen: Any = objective.build({**CONFIG, "last": last})
        seen = chosen.corrupt(examples).views[0].tokens
        hidden = seen.kind[seen.ptr[1:] - 1] == Kind.SPECIAL
        assert bool(hidden.all()) == last
        assert bool(hidden.any())


def test_gradients(toy: Graph, making: Any, hand: Any) -> None:
    examples = making.examples(making.prepared(toy, PAST, EVENTS, torch.tensor([0, 1])), [0, 1])
    assert hand.gradients_hold(CONFIG, examples)
    assert hand.gradients_hold({"name": "masked_item_prediction"}, examples)


def test_learns_where_the_context_tells(ring: Graph, noise: Graph, fit: Callable[..., Any]) -> None:
    given = {"structure": {"position": 8}, "steps": 60}
    config = {**CONFIG, "candidates": {"how": "pairwise"}}
    assert fit(ring, config, PAST, EVENTS, torch.arange(24), **given).last < 0.5 * log(2)
    # An item outside the history can be told by what is in it, but not from the hidden one.
    found = fit(
        noise, {**config, "masking": {"share": 0.5}}, PAST, EVENTS, torch.arange(24), **given
    )
    assert found.last > 0.6 * log(2)

"""Relations that a recipe derives: made of what each view may show, and of nothing else."""

from pathlib import Path
from typing import Any

import pytest

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.recipe.data import graph_of, split_of


def test_friends_are_made_of_training_events(raw: Path, small: Any) -> None:
    data = small("uprec").data
    made = split_of(data, graph_of(data, raw))
    items: dict[int, set[int]] = {}
    edges = made.train.edges("rates")
    for user, item in zip(edges.source.tolist(), edges.target.tolist(), strict=True):
        items.setdefault(user, set()).add(item)
    alike = made.train.edges("is_like")
    assert alike.weight is not None
    assert len(alike.source) > 0
    for user, other, weight in zip(
        alike.source.tolist(), alike.target.tolist(), alike.weight.tolist(), strict=True
    ):
        shared = len(items[user] & items[other])
        assert shared >= 5
        assert weight == pytest.approx(shared / (len(items[user]) * len(items[other])) ** 0.5)
    assert made.history("test").num_edges("is_like") != made.train.num_edges("is_like")


def test_a_wrong_derivation_is_told_before_anything_is_built(small: Any) -> None:
    with pytest.raises(GraphRecError, match=r"derivation: expected a known name"):
        small("uprec", "data.derive=[transitions]")

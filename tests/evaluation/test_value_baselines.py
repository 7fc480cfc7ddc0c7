"""Baselines of ratings and clicks, by hand, and what may be learnt from."""

import pytest
import torch

from graphrec_pt import GraphRecError
from graphrec_pt.evaluation.value_baselines import known_clicks, known_ratings, weights_of
from graphrec_pt.evaluation.values import Known, value_baseline
from graphrec_pt.graph.split import Split

USERS, ITEMS = (0, 1), (2, 3, 4)
KNOWN = Known(
    torch.tensor([0, 0, 1]), torch.tensor([2, 3, 2]), torch.tensor([5.0, 3, 1]).double(), 5
)


def asked(config: object) -> list[list[float]]:
    learnt = value_baseline.build(config).fit(KNOWN)  # type: ignore[arg-type]
    pairs = [(user, item) for user in USERS for item in ITEMS]
    found = learnt.values(*torch.tensor(pairs).T)
    return found.view(2, 3).tolist()


def test_global_mean() -> None:
    assert asked("global_mean") == [[3.0] * 3] * 2


def test_biases_by_hand() -> None:
    # μ = 3. b_2 = (2 − 2) / (1 + 2) = 0, b_3 = 0 / 2 = 0. b_0 = (2 + 0) / (1 + 2), b_1 = −2 / 2.
    found = asked({"name": "biases", "item": 1.0, "user": 1.0})
    assert found == [pytest.approx([3 + 2 / 3] * 3), pytest.approx([2.0] * 3)]
    # Items first: with weaker regularisation b_3 = 0 / 1 and b_2 = 0 still; nothing else moves.
    free = asked({"name": "biases", "item": 0.0, "user": 0.0})
    assert free == [pytest.approx([4.0] * 3), pytest.approx([1.0] * 3)]


def test_popularity_rate_by_hand() -> None:
    found = asked({"name": "popularity_rate", "strength": 2.0})
    # (6 + 2 · 3) / (2 + 2), (3 + 6) / 3, and an item nobody knows has the mean.
    assert found == [pytest.approx([3.0, 3.0, 3.0])] * 2
    skewed = KNOWN._replace(value=torch.tensor([5.0, 3, 4]).double())
    learnt = value_baseline.build({"name": "popularity_rate", "strength": 2.0}).fit(skewed)
    found = learnt.values(torch.zeros(3).long(), torch.tensor(ITEMS)).tolist()
    assert found == pytest.approx([(9 + 8) / 4, (3 + 8) / 3, 4.0])


def test_unknown_names() -> None:
    with pytest.raises(GraphRecError, match="did you mean 'biases'"):
        value_baseline.build("bias")


def test_known_ratings_are_those_of_training(shop: Split) -> None:
    known, train = known_ratings(shop), shop.train.edges("rates")
    assert known.value.tolist() == train.weight.tolist()  # type: ignore[union-attr]
    held = set(zip(shop.test.source.tolist(), shop.test.edge.tolist(), strict=True))
    assert not held & set(zip(known.source.tolist(), train.edge.tolist(), strict=True))
    whole = shop.graph.edges("rates")
    by_edge = dict(zip(whole.edge.tolist(), whole.weight.tolist(), strict=True))  # type: ignore[union-attr]
    assert weights_of(shop, shop.test.edge).tolist() == [
        by_edge[e] for e in shop.test.edge.tolist()
    ]


def test_known_clicks_know_nothing_held_out(shop: Split) -> None:
    """What is drawn as no click avoids training edges alone: test targets do occur among them."""
    known = known_clicks(shop, 20, 0)
    train = shop.train.edges("rates")
    n = len(train.source)
    assert known.value.tolist() == [1.0] * n + [0.0] * (len(known.value) - n)
    taken = set(zip(train.source.tolist(), train.target.tolist(), strict=True))
    drawn = set(zip(known.source[n:].tolist(), known.target[n:].tolist(), strict=True))
    assert not taken & drawn
    held = set(zip(shop.test.source.tolist(), shop.test.target.tolist(), strict=True)) - taken
    assert held & drawn

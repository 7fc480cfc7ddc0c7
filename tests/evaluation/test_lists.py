"""Top-k lists beside a full sort, and what is measured on them."""

from typing import Any

import numpy as np
import pytest
import torch

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.evaluation.lists import coverage, gini, mean_popularity, novelty
from graphrec_pt.graph.split import Split
from graphrec_pt.predict.lists import Lists, top_lists


@pytest.mark.parametrize("seen", ["mask", "keep"])
@pytest.mark.parametrize("cells", [1, 500, 1 << 20])
def test_lists_are_the_top_of_a_sort(
    shop: Split, random_scores: Any, seen: Any, cells: int
) -> None:
    table, history = random_scores(shop, levels=3), shop.history("test")
    users, items = history.nodes("user"), history.nodes("item")
    nodes = torch.arange(users.start, users.stop)
    lists = top_lists(table, history, "rates", nodes, 7, seen=seen, cells=cells)
    for row, user in enumerate(users):
        scores = table.table[row].tolist()
        met = set() if seen == "keep" else set(history.neighbors(user, "rates").tolist())
        left = [v for v in items if v not in met]
        best = sorted(left, key=lambda v: (-scores[v - items.start], v))[:7]
        assert lists.items[row].tolist() == best
        assert lists.score[row].tolist() == [scores[v - items.start] for v in best]


def test_short_lists_end_in_minus_one(corner: Split, scored: Any) -> None:
    history = corner.history("test")
    bob = torch.tensor([corner.graph.node_id("user", "bob")])
    found = top_lists(scored(corner, {"bob": {"f": 1}}), history, "buys", bob, 4)
    names = [corner.graph.raw_id(v) for v in found.items[0].tolist() if v >= 0]
    assert names == ["f", "a"]
    assert found.items[0, 2:].tolist() == [-1, -1]


def test_k_beyond_the_catalogue(corner: Split, scored: Any) -> None:
    nodes = torch.tensor([0])
    for k in (0, 7):
        with pytest.raises(GraphRecError, match=f"1 <= k <= 6, the catalogue, got {k}|got 0"):
            top_lists(scored(corner, {}), corner.train, "buys", nodes, k)


LISTS = Lists(
    nodes=torch.arange(3),
    items=torch.tensor([[10, 11], [10, 12], [10, -1]]),
    score=torch.zeros(3, 2),
    catalogue=4,
    start=10,
)


def test_beyond_accuracy_by_hand() -> None:
    assert LISTS.counts().tolist() == [3, 1, 1, 0]
    assert coverage(LISTS) == 3 / 4
    # Sorted counts 0 1 1 3: (−3·0 − 1·1 + 1·1 + 3·3) / (4 · 5)
    assert gini(LISTS) == pytest.approx(9 / 20)
    degree = torch.tensor([8, 4, 0, 9])
    assert mean_popularity(LISTS, degree) == pytest.approx((3 * 8 + 4 + 0) / 5)
    bits = [-np.log2(8 / 16)] * 3 + [-np.log2(4 / 16), -np.log2(1 / 16)]
    assert novelty(LISTS, degree, 16) == pytest.approx(np.mean(bits))
    with pytest.raises(GraphRecError, match=r"degree \[4\]"):
        novelty(LISTS, degree[:2], 16)


def test_gini_is_the_mean_difference(shop: Split, random_scores: Any) -> None:
    users = shop.graph.nodes("user")
    nodes = torch.arange(users.start, users.stop)
    lists = top_lists(random_scores(shop), shop.train, "rates", nodes, 3)
    counts = lists.counts().double().numpy()
    wanted = np.abs(counts[:, None] - counts[None, :]).mean() / (2 * counts.mean())
    assert gini(lists) == pytest.approx(wanted)

"""Slices of the targets by what training saw of them."""

from typing import Any

import torch

from graphrec_pt.evaluation.ranking import rank_targets
from graphrec_pt.evaluation.slices import slices, tail
from graphrec_pt.graph.split import Split


def test_slices_by_hand(corner: Split, random_scores: Any) -> None:
    # Training: ann a b, bob b c d, cat a. So a 2, b 2, c 1, d 1, e and f never.
    ranks = rank_targets(random_scores(corner), corner)
    found = {
        name: set(part.table.select("user", "item").iter_rows())
        for name, part in slices(ranks, corner.train, "buys").items()
    }
    every = {("ann", "d"), ("bob", "b"), ("bob", "f"), ("cat", "c"), ("cat", "d")}
    assert found == {
        "cold_items": {("bob", "f")},
        "rare_items": every - {("bob", "f")},
        "tail_items": {("bob", "f")},  # c and d together hold a third of six interactions
        "head_items": every - {("bob", "f")},
        "short_users": every,
    }


def test_slices_part_the_targets(shop: Split, random_scores: Any) -> None:
    ranks = rank_targets(random_scores(shop), shop)
    found = slices(ranks, shop.train, "rates")
    count = {name: len(part) for name, part in found.items()}
    assert count["tail_items"] + count["head_items"] == len(ranks)
    users = ("cold_users", "short_users", "long_users")
    assert sum(count.get(name, 0) for name in users) == len(ranks)
    items = shop.train.nodes("item")
    degree = torch.bincount(shop.train.edges("rates").target - items.start, minlength=len(items))
    for name, low, high in (("cold_items", 0, 0), ("rare_items", 1, 4)):
        wanted = {shop.graph.raw_id(items[i]) for i in range(80) if low <= degree[i] <= high}
        met = {row for row in ranks.table["item"] if row in wanted}
        assert set(found[name].table["item"]) == met if name in found else not met


def test_the_tail_holds_a_fifth() -> None:
    degree = torch.tensor([50, 1, 1, 8, 10, 10, 20, 0])  # of 100: 1 + 1 + 8 = 10, with both 10s 30
    assert tail(degree).tolist() == [False, True, True, True, False, False, False, True]
    assert tail(degree, 0.3).tolist() == [False, True, True, True, True, True, False, True]

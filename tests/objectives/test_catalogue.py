"""Nodes that a step shares as negatives: its own in every step, the same in all its batches."""

from typing import Any

import pytest
import torch

from graphrec_pt import Graph, Key, Loader, sampler
from graphrec_pt.objectives.catalogue import shared_nodes
from graphrec_pt.objectives.draws import Draws
from graphrec_pt.objectives.objective import objective
from graphrec_pt.training.preparation import Preparation

SAMPLED = {"how": "sampled", "negatives": 16}
NONE = torch.zeros(0, dtype=torch.int64)


@pytest.mark.parametrize(
    "config",
    [
        {"name": "masked_node", "candidates": SAMPLED, "masking": {"share": 0.5}},
        {"name": "neighbor_coding", "negatives": 16},
    ],
    ids=lambda config: config["name"],
)
def test_no_two_steps_share_their_negatives(making: Any, shop: Graph, config: Any) -> None:
    roots, hops = torch.arange(16), {"name": "k_hop", "fanout": [4, 2]}
    made: Preparation = making.prepared(shop, hops, "subgraph", roots)
    chosen = objective.build(config)

    def drawn(accumulate: int, rank: int = 0, world: int = 1) -> list[list[int]]:
        size = 8 // accumulate // world
        options: dict[str, Any] = {"accumulate": accumulate, "rank": rank, "world": world}
        batches = Loader(shop, sampler.build(hops), roots, size, **options).epoch(0)
        targets = [chosen.corrupt(made.examples(batch)).targets for batch in batches]
        return [each["negatives.1"].tolist() for each in targets if "negatives.1" in each]

    first, second = drawn(accumulate=1)
    assert first != second
    assert len(first) == 16
    assert drawn(accumulate=2) == [first, first, second, second]
    assert drawn(accumulate=1, rank=1, world=2) == [first, second]


def test_every_node_is_drawn_as_often(shop: Graph) -> None:
    """By the multiply-shift of 32 uniform bits."""
    items = shop.nodes("item")
    steps = [Draws(Key(5), NONE, NONE, step) for step in range(300)]
    nodes = torch.cat([shared_nodes(draws, 1, 100, shop) for draws in steps]) - items.start
    count = torch.bincount(nodes, minlength=len(items)).double()
    assert len(count) == len(items) == 20
    assert float(((count - 1500).square() / 1500).sum()) < 43.8  # .1 % of chi-square, 19 degrees

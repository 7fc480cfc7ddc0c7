"""Nodes that a step shares as negatives: its own in every step, the same in all its batches."""

from typing import Any

import pytest
import torch

from graphrec_pt import Graph, Key, Loader, sampler
from graphrec_pt.objectives.catalogue import Candidates, shared_nodes
from graphrec_pt.objectives.objective import objective
from graphrec_pt.objectives.sequence_rng import SequenceRNG
from graphrec_pt.training.batches import Preparation

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
    steps = [SequenceRNG(Key(5), NONE, NONE, step) for step in range(300)]
    nodes = torch.cat([shared_nodes(draws, 1, 100, shop) for draws in steps]) - items.start
    count = torch.bincount(nodes, minlength=len(items)).double()
    assert len(count) == len(items) == 20
    assert float(((count - 1500).square() / 1500).sum()) < 43.8  # .1 % of chi-square, 19 degrees


NONE = torch.zeros(0, dtype=torch.int64)
ITEMS = [[1.0, 0.0], [0.0, 1.0]]
HIDDEN = [[0.5, 1.0], [2.0, -1.0], [0.0, 0.0]]


def test_two_candidates_are_a_pair(hand: Any, small: Any) -> None:
    """With two nodes of the type, softmax and pairwise are one loss."""
    graph = small([1, 2, 1], [(0, 0, 1), (0, 1, 2)], [(0, 0)])
    model = hand.model(graph, {"item": ITEMS})
    hidden = torch.tensor(HIDDEN, dtype=torch.float64)
    node, types = torch.tensor([1, 2, 1]), torch.ones(3, dtype=torch.int64)
    at = {"node": node, "type": types}
    words = torch.arange(12).view(3, 4)
    found = []
    for how in ("softmax", "pairwise"):
        candidates = Candidates(how=how, transform=False)
        drawn = candidates.draw(graph, types, words, SequenceRNG(Key(0), NONE, NONE))
        head = candidates.head(2)
        found.append(candidates.loss(hidden, at | drawn, model, head).item())
    assert found[0] == pytest.approx(found[1])


def test_many_samples_come_near_the_whole(hand: Any, shop: Any) -> None:
    draw = torch.Generator().manual_seed(0)
    vectors = torch.randn(20, 3, generator=draw).tolist()
    model = hand.model(shop, {"item": vectors})
    hidden = torch.randn(6, 3, generator=draw).double()
    node, types = 16 + torch.arange(6), torch.ones(6, dtype=torch.int64)
    at = {"node": node, "type": types}
    words = torch.zeros(6, 4, dtype=torch.int64)
    found = {}
    for how, negatives in (("softmax", None), ("sampled", 4), ("sampled", 20_000)):
        candidates = Candidates(how=how, negatives=negatives, transform=False)
        drawn = candidates.draw(shop, types, words, SequenceRNG(Key(1), NONE, NONE))
        head = candidates.head(3)
        found[negatives] = candidates.loss(hidden, at | drawn, model, head).item()
    assert found[20_000] == pytest.approx(found[None], rel=0.01)
    assert found[4] != pytest.approx(found[None], rel=0.01)

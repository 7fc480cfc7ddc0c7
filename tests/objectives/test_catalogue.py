"""Nodes that a batch shares as negatives: its own in every batch, the same when met again."""

from typing import Any

import pytest
import torch

from graphrec_pt import Key
from graphrec_pt.objectives.catalogue import shared_nodes
from graphrec_pt.objectives.objective import objective

SAMPLED = {"how": "sampled", "negatives": 16}


@pytest.mark.parametrize(
    "config",
    [
        {"name": "masked_node", "candidates": SAMPLED, "masking": {"share": 0.5}},
        {"name": "neighbor_coding", "negatives": 16},
    ],
    ids=lambda config: config["name"],
)
def test_batches_of_an_epoch_share_no_negatives(making: Any, shop: Any, config: Any) -> None:
    preparation = making.prepared(
        shop, {"name": "k_hop", "fanout": [4, 2]}, "subgraph", torch.arange(8)
    )
    chosen = objective.build(config)

    def shared(rows: list[int]) -> list[int]:
        drawn: torch.Tensor = chosen.corrupt(making.examples(preparation, rows)).targets[
            "negatives.1"
        ]
        assert len(drawn) == 16
        found: list[int] = drawn.tolist()
        return found

    first, second = shared([0, 1]), shared([2, 3])
    assert first != second
    assert shared([0, 1]) == first


def test_every_node_is_drawn_as_often(  # by the multiply-shift of 32 uniform bits
) -> None:
    batches = torch.arange(300)
    drawn = torch.cat([shared_nodes(batch, 100, 30, Key(5), 1) for batch in batches])
    count = torch.bincount(drawn, minlength=30).double()
    assert len(count) == 30
    chi = float(((count - 1000).square() / 1000).sum())
    assert chi < 58.3  # .1 % of a chi-square of 29 degrees
    assert not torch.equal(drawn[:100], shared_nodes(batches[0], 100, 30, Key(5), 2))

"""Seeds: first weights that depend on no other module."""

import torch
from torch import nn

from graphrec_pt.features.seeded import derive_seed, seeded


def test_seeds_apart():
    seeds = {derive_seed(seed, purpose) for seed in range(50) for purpose in ("a", "b", "backbone")}
    assert len(seeds) == 150
    linear = seeded(lambda: nn.Linear(3, 3), derive_seed(1, "a"))
    other = seeded(lambda: nn.Linear(3, 3), derive_seed(1, "b"))
    assert not torch.equal(linear.weight, other.weight)

"""Chances of pairs from scorers of the catalogue, whatever they are."""

import torch
from torch import Tensor

from graphrec_pt.predict.scorer import Factorised, chances


class Plain:
    """The same scores without a factorisation."""

    def __init__(self, whole: Factorised) -> None:
        self.whole = whole

    def scores(self, nodes: Tensor) -> Tensor:
        return self.whole.scores(nodes)


def test_pairs_of_any_scorer() -> None:
    draw = torch.Generator().manual_seed(0)
    queries, table = (torch.randn(n, 3, generator=draw) for n in (4, 5))
    bias = torch.randn(5, generator=draw)
    whole = Factorised(torch.tensor([2, 4, 6, 8]), queries, table, bias)
    source, target = torch.tensor([8, 2, 2, 6]), torch.tensor([10, 12, 14, 11])
    wanted = [
        float((queries[row] @ table[item] + bias[item]).sigmoid())
        for row, item in zip((3, 0, 0, 2), (0, 2, 4, 1), strict=True)
    ]
    for scorer in (whole, Plain(whole)):
        found = chances(scorer, source, target - 10)
        assert torch.allclose(found, torch.tensor(wanted).double(), atol=1e-6)

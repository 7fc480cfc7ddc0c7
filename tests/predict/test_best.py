"""The best candidates without a matrix of all scores: equal to sorting the matrix."""

import pytest
import torch
from torch import Tensor

from graphrec_pt.data.synthetic import checkerboard
from graphrec_pt.predict import best
from graphrec_pt.predict.best import best_lists, joined
from graphrec_pt.predict.scorer import Factorised, Scorer, WithPrior

GRAPH = checkerboard(40)
START = GRAPH.nodes("item").start
V = GRAPH.num_nodes("item")


def products(nodes: Tensor, bias: bool) -> Factorised:
    draw = torch.Generator().manual_seed(3)
    # Small whole numbers, so that many scores are equal and all sums are exact.
    queries, table = (torch.randint(-2, 3, (n, 4), generator=draw).float() for n in (len(nodes), V))
    added = torch.randint(-2, 3, (V,), generator=draw).float() if bias else None
    return Factorised(nodes, queries, table, added)


def with_prior(plain: Factorised) -> WithPrior:
    draw = torch.Generator().manual_seed(4)
    parts = [torch.randperm(V, generator=draw)[: n % 7] for n in range(len(plain.nodes))]
    item = torch.cat(parts)
    ptr = torch.tensor([0, *map(len, parts)]).cumsum(0)
    return WithPrior(plain, ptr, item, torch.randint(-3, 4, (len(item),), generator=draw).float())


def slow(scorer: Scorer, nodes: Tensor, k: int, left: Tensor, among: Tensor) -> Tensor:
    """Sort the whole row; equal scores by column."""
    scores = scorer.scores(nodes).masked_fill(left | ~among, -torch.inf)
    rows = []
    for row in scores.tolist():
        order = sorted((n for n in range(V) if row[n] > -torch.inf), key=lambda n: (-row[n], n))
        rows.append([n + START for n in order[:k]] + [-1] * max(k - len(order), 0))
    return torch.tensor(rows)


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("prior", [False, True])
@pytest.mark.parametrize("some", [False, True])
def test_the_lists_of_a_sorted_matrix(
    bias: bool, prior: bool, some: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(best, "CELLS", 64)
    nodes = torch.arange(1, 31, 2)
    plain = products(nodes, bias)
    scorer: Scorer = with_prior(plain) if prior else plain
    draw = torch.Generator().manual_seed(5)
    left = torch.rand((len(nodes), V), generator=draw) < 0.3
    among = torch.rand(V, generator=draw) < (0.4 if some else 2.0)
    count = left.sum(1)
    pairs = torch.cat([count.new_zeros(1), count.cumsum(0)]), left.nonzero()[:, 1]
    mask = among if some else None
    for k in (1, 5, V):
        found = best_lists(scorer, GRAPH, "likes", nodes, k, left_out=pairs, among=mask)
        assert torch.equal(found.items, slow(scorer, nodes, k, left, among))
        there = found.items >= 0
        scores = scorer.scores(nodes).gather(1, (found.items - START).clamp(min=0))
        assert torch.equal(found.score[there], scores[there])
        assert bool((found.score[~there] == -torch.inf).all())


def test_pairs_are_joined() -> None:
    first = torch.tensor([0, 2, 2, 3]), torch.tensor([1, 4, 0])
    second = torch.tensor([0, 1, 2, 2]), torch.tensor([4, 3])
    ptr, column = joined(first, second)
    assert ptr.tolist() == [0, 2, 3, 4]
    assert column.tolist() == [1, 4, 3, 0]

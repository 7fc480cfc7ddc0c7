"""Walk samplers against exact distributions worked out in Python."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import pytest
import torch
from scipy.stats import chi2_contingency, chisquare

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.core.key import Key
from graphrec_pt.graph.graph import Graph
from graphrec_pt.sampling.sample import Paths
from graphrec_pt.sampling.sampler import sampler

KEY = Key(3)
MANY = 4096
ROOT, BUSY = 2, 7
Step = Callable[[Sequence[int]], dict[int, float]]


def positions(graph: Graph, node: int, relation: str | None = None) -> list[int]:
    """Return where the edges of a node stand."""
    if relation is not None:
        low, high = graph.segments(relation)
        first = graph.nodes(graph.schema.relation(relation).source).start
        return list(range(int(low[node - first]), int(high[node - first])))
    start, end = graph.csr.bounds(torch.tensor([node]))
    return list(range(int(start), int(end)))


def law(graph: Graph, root: int, hops: int, step: Step) -> dict[tuple[int, ...], float]:
    """Return the probability of every walk, as the edges it takes; walks end at dead ends."""
    walks: dict[tuple[int, ...], float] = {(): 1.0}
    for _ in range(hops):
        longer: dict[tuple[int, ...], float] = {}
        for walk, p in walks.items():
            chances = step(walk)
            total = sum(chances.values())
            if not total:
                longer[walk] = p
            for edge, chance in chances.items():
                if chance:
                    longer[(*walk, edge)] = p * chance / total
        walks = longer
    return walks


def at(graph: Graph, root: int, walk: Sequence[int]) -> int:
    return int(graph.csr.indices[walk[-1]]) if walk else root


def drawn(config: dict[str, Any], graph: Graph, rounds: int = 4) -> list[tuple[int, ...]]:
    """Return the walks from ROOT as the edges they take."""
    found = []
    for epoch in range(rounds):
        sample = sampler.build({**config, "repeats": MANY}).sample(
            graph, torch.tensor([ROOT]), KEY.at_epoch(epoch)
        )
        assert isinstance(sample, Paths)
        for row in sample.position.tolist():
            found.append(tuple(edge for edge in row if edge >= 0))
    return found


def check(found: Iterable[tuple[int, ...]], expected: dict[tuple[int, ...], float]) -> None:
    """Compare frequencies with the law; rare outcomes are put together."""
    counts = Counter(found)
    total = sum(counts.values())
    assert set(counts) <= set(expected)
    often = [walk for walk, p in expected.items() if p * total >= 8]
    seen = [counts[walk] for walk in often] + [total - sum(counts[walk] for walk in often)]
    wanted = [expected[walk] * total for walk in often]
    wanted.append(total - sum(wanted))
    if wanted[-1] < 8:
        assert seen[-1] <= 40
        seen, wanted = seen[:-1], [w * sum(seen[:-1]) / sum(wanted[:-1]) for w in wanted[:-1]]
    assert len(seen) > 3
    assert chisquare(seen, wanted).pvalue > 1e-4


def test_random_walk(train: Graph) -> None:
    def step(walk: Sequence[int]) -> dict[int, float]:
        return dict.fromkeys(positions(train, at(train, ROOT, walk)), 1.0)

    config = {"name": "random_walk", "hops": 2}
    check(drawn(config, train), law(train, ROOT, 2, step))


def test_weighted_random_walk(train: Graph) -> None:
    weight = train.csr.weight
    assert weight is not None

    def step(walk: Sequence[int]) -> dict[int, float]:
        return {e: float(weight[e]) for e in positions(train, at(train, ROOT, walk))}

    config = {"name": "random_walk", "hops": 2, "weighted": True}
    check(drawn(config, train), law(train, ROOT, 2, step))


def test_timed_random_walk(train: Graph) -> None:
    time = train.csr.time
    assert time is not None

    def step(walk: Sequence[int]) -> dict[int, float]:
        since = int(time[walk[-1]]) if walk else torch.iinfo(torch.int64).min
        edges = positions(train, at(train, ROOT, walk))
        return {e: float(time[e] >= since) for e in edges}

    config = {"name": "random_walk", "hops": 3, "timed": True}
    found = drawn(config, train)
    check(found, law(train, ROOT, 3, step))
    assert all(time[list(walk)].tolist() == sorted(time[list(walk)].tolist()) for walk in found)


def test_metapath(train: Graph) -> None:
    names = ["rates", "rated_by", "views"]

    def step(walk: Sequence[int]) -> dict[int, float]:
        return dict.fromkeys(
            positions(train, at(train, ROOT, walk), names[len(walk)])
            if len(walk) < 3
            and train.type_of(at(train, ROOT, walk))
            == train.schema.relation(names[len(walk)]).source
            else [],
            1.0,
        )

    config = {"name": "metapath", "relations": names}
    check(drawn(config, train), law(train, ROOT, 3, step))


def test_node2vec(train: Graph) -> None:
    p, q = 0.25, 4.0

    def step(walk: Sequence[int]) -> dict[int, float]:
        node = at(train, ROOT, walk)
        edges = positions(train, node)
        if not walk:
            return dict.fromkeys(edges, 1.0)
        before = at(train, ROOT, walk[:-1])
        near = {int(train.csr.indices[e]) for e in positions(train, before)}
        chance = {}
        for edge in edges:
            target = int(train.csr.indices[edge])
            chance[edge] = 1 / p if target == before else 1.0 if target in near else 1 / q
        return chance

    config = {"name": "node2vec", "hops": 2, "p": p, "q": q}
    check(drawn(config, train), law(train, ROOT, 2, step))


def test_restart_probability(train: Graph) -> None:
    walk = sampler.build({"name": "random_walk", "hops": 1, "repeats": MANY, "restart": 0.3})
    sample = walk.sample(train, torch.tensor([ROOT]), KEY)
    assert isinstance(sample, Paths)
    home = (sample.relations[:, 0] < 0) & (sample.nodes[:, 1] == ROOT)
    away = sample.relations[:, 0] >= 0
    assert bool((home | away).all())
    assert chisquare([int(home.sum()), int(away.sum())], [0.3 * MANY, 0.7 * MANY]).pvalue > 1e-4
    assert bool((sample.length == 1).all())


def test_twins_draw_independently(train: Graph) -> None:
    # Users 0 and 1 rate the same items, so equal draws would give equal walks.
    first, second = (train.neighbors(user, "rates").tolist() for user in (0, 1))
    assert len(first) == len(second) == 2
    walk = sampler.build({"name": "metapath", "relations": ["rates"], "repeats": MANY})
    sample = walk.sample(train, torch.tensor([0, 1]), KEY)
    assert isinstance(sample, Paths)
    chosen = sample.position.view(2, MANY) - sample.position.view(2, MANY).amin(1, keepdim=True)
    table = torch.bincount(chosen[0] * 2 + chosen[1], minlength=4).view(2, 2)
    assert chi2_contingency(table.numpy()).pvalue > 1e-4


@pytest.mark.parametrize(
    ("relations", "message"),
    [
        (["rates", "makes"], r"leaves 'item' at hop 2.*'makes' \(brand → item\).*rated_by"),
        (["rates", "rated_bye"], r"relation at hop 2.*'rated_bye'; did you mean 'rated_by'"),
        ([], "an empty one"),
    ],
)
def test_metapaths_are_type_checked(train: Graph, relations: list[str], message: str) -> None:
    walk = sampler.build({"name": "metapath", "relations": relations})
    with pytest.raises(GraphRecError, match=message):
        walk.sample(train, torch.tensor([0]), KEY)


def test_cycles_must_close(train: Graph) -> None:
    walk = sampler.build({"name": "metapath", "relations": ["rates"], "cycles": 2})
    with pytest.raises(GraphRecError, match="hop 2"):
        walk.sample(train, torch.tensor([0]), KEY)


def test_time_order_needs_times(train: Graph) -> None:
    walk = sampler.build({"name": "metapath", "relations": ["made_by", "makes"], "timed": True})
    with pytest.raises(GraphRecError, match=r"relation with times, got 'made_by'.*one of rates"):
        walk.sample(train, torch.tensor([12]), KEY)


@pytest.mark.parametrize("value", [-1.0, float("nan"), float("inf")])
def test_weights_must_be_weights(train: Graph, value: float) -> None:
    from dataclasses import replace

    assert train.csr.weight is not None
    weight = train.csr.weight.clone()
    weight[7] = value
    wrong = replace(train, csr=replace(train.csr, weight=weight))
    for name in ("random_walk", "node2vec", "k_hop", "mcn"):
        walk = sampler.build({"name": name, "weighted": True})
        with pytest.raises(GraphRecError, match="weights >= 0 and finite"):
            walk.sample(wrong, torch.tensor([0]), KEY)

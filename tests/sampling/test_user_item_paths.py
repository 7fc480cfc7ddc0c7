"""Paths from users to items: their law, and what they leave out."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import pytest
import torch
from scipy.stats import chisquare

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


def user_item_law(
    graph: Graph, root: int, constrained: bool, through: str | None
) -> dict[Any, float]:
    own = set(graph.neighbors(root, "rates").tolist())
    items = graph.nodes("item")

    def step(walk: Sequence[int]) -> dict[int, float]:
        node = at(graph, root, walk)
        return dict.fromkeys(positions(graph, node, None if walk else "rates"), 1.0)

    good = {}
    for walk, p in law(graph, root, 3, step).items():
        nodes = [root, *(int(graph.csr.indices[e]) for e in walk)]
        if len(nodes) < 4 or len(set(nodes)) < 4 or nodes[-1] not in items:
            continue
        if constrained and nodes[-1] not in own:
            continue
        if through is None or graph.type_of(nodes[2]) == through:
            good[walk] = p
    total = sum(good.values())
    return {walk: p / total for walk, p in good.items()}


@pytest.mark.parametrize(
    ("constrained", "through"), [(True, None), (False, None), (True, "code"), (False, "user")]
)
def test_user_item_paths(shop: Graph, constrained: bool, through: str | None) -> None:
    expected = user_item_law(shop, BUSY, constrained, through)
    config = {
        "name": "user_item_paths",
        "paths": MANY,
        "constrained": constrained,
        "through": None if through is None else [through],
    }
    sample = sampler.build(config).sample(shop, torch.tensor([BUSY]), KEY)
    assert isinstance(sample, Paths)
    assert len(sample) > 0.95 * MANY  # a rare end may be given up
    check(map(tuple, sample.position.tolist()), expected)


def test_excluded_item_is_no_end(train: Graph) -> None:
    paths = sampler.build({"name": "user_item_paths", "paths": 200})
    roots = torch.arange(11)
    plain = paths.sample(train, roots, KEY)
    assert isinstance(plain, Paths)
    edges = train.edges("rates")
    met = 0
    for root in roots.tolist():
        mine = (edges.source == root).nonzero().squeeze(1).tolist()
        ends = plain.nodes[plain.root == root, -1].tolist()
        for row in mine:
            item, number = int(edges.target[row]), int(edges.edge[row])
            if sum(int(edges.target[other]) == item for other in mine) > 1:
                continue  # rated twice: the other edge still tells
            met += item in ends
            hidden = paths.sample(train, torch.tensor([root]), KEY, torch.tensor([number]))
            assert isinstance(hidden, Paths)
            assert item not in hidden.nodes[:, -1].tolist()
    assert met > 5


def test_distinct_paths(train: Graph) -> None:
    options = {"name": "user_item_paths", "paths": 300, "constrained": False}
    every = sampler.build(options).sample(train, torch.arange(11), KEY)
    once = sampler.build({**options, "distinct": True}).sample(train, torch.arange(11), KEY)
    assert isinstance(every, Paths)
    assert isinstance(once, Paths)

    def readings(sample: Paths) -> list[tuple[int, ...]]:
        both = torch.cat([sample.root[:, None], sample.nodes, sample.relations], 1)
        return [tuple(row) for row in both.tolist()]

    assert readings(once) == list(dict.fromkeys(readings(every)))
    assert len(once) < len(every)

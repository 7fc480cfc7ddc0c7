from collections import Counter
from itertools import combinations, permutations

import pytest
import torch
from scipy.stats import chisquare

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.core.key import Key
from graphrec_pt.kernels.csr import NO_TIME, SegmentedCSR
from graphrec_pt.kernels.dispatch import forced_body
from graphrec_pt.kernels.neighbors import neighbors

KEY = Key(77).named("neighbors")
COLUMNS = ("before", "exclude", "item", "turn")
OPTIONS = {
    "pooled": {"fanout": 3},
    "all": {"fanout": -1},
    "by relation": {"fanout": 2, "slots": [1, 0]},
    "replace": {"fanout": 6, "replace": True},
    "weighted": {"fanout": 3, "weighted": True},
    "before": {"fanout": 3, "before": 5},
    "exclude": {"fanout": 3, "exclude": 2},
    "replace and exclude": {"fanout": 4, "replace": True, "exclude": 2, "weighted": True},
    "all but": {"fanout": -1, "exclude": 2, "before": 9, "weighted": True},
    "everything": {"fanout": 2, "slots": [0, 1], "weighted": True, "before": 8, "exclude": 4},
    "as roots": {"fanout": 2, "item": 1000, "turn": 0},
}


def options_for(name, nodes):
    options = dict(OPTIONS[name])
    if "slots" in options:
        options["slots"] = torch.tensor(options["slots"], device=nodes.device)
    for column in COLUMNS:
        if column in options:
            options[column] = (options[column] + torch.arange(len(nodes))).to(nodes.device) % 23
    return options


@pytest.mark.parametrize(
    ("name", "index"),
    [
        *((name, torch.int32) for name in OPTIONS),
        *((name, torch.int64) for name in ("pooled", "everything")),
    ],
)
def test_bodies_agree_to_the_bit(body, device, random_csr, name, index):
    csr = random_csr(seed=6, edges=90, index=index)
    nodes = torch.arange(csr.num_nodes).repeat(2)
    with forced_body("torch"):
        expected = neighbors(csr, nodes, key=KEY, **options_for(name, nodes))
    there = nodes.to(device)
    got = neighbors(csr.to(device), there, key=KEY, **options_for(name, there))
    for mine, reference in zip(got, expected, strict=True):
        assert mine.dtype == torch.int64
        assert mine.cpu().equal(reference)


@pytest.mark.parametrize("name", OPTIONS)
def test_edges_are_the_nodes_own_distinct_and_allowed(random_csr, name):
    csr = random_csr(seed=6, edges=90)
    nodes = torch.arange(csr.num_nodes).repeat(3)
    options = options_for(name, nodes)
    position, ptr = neighbors(csr, nodes, key=KEY, **options)
    slots = options.get("slots", torch.tensor([-1])).tolist()
    for b, node in enumerate(nodes):
        got = position[ptr[b] : ptr[b + 1]].tolist()
        first, count = int(csr.first_segment(node)), int(csr.slots[csr.node_type(node)])
        expected = 0
        for slot in slots:
            start = int(csr.segment[first + max(slot, 0)])
            end = int(csr.segment[first + (count if slot < 0 else slot + 1)])
            allowed = [
                e
                for e in range(start, end)
                if ("before" not in options or csr.time[e] < options["before"][b])
                and ("exclude" not in options or csr.edge[e] != options["exclude"][b])
            ]
            here = [e for e in got if start <= e < end]
            assert set(here) <= set(allowed)
            if options.get("replace"):
                expected += options["fanout"] if allowed else 0
                continue
            assert here == sorted(set(here))
            fanout = options["fanout"] if options["fanout"] > 0 else len(allowed)
            assert len(here) == min(fanout, len(allowed))
            expected += len(here)
        assert len(got) == expected


def test_by_hand(body, device, toy):
    nodes = torch.tensor([0, 2, 4], device=device)  # three purchases; isolated; two buyers, a tag
    position, ptr = neighbors(toy.to(device), nodes, -1, KEY)
    assert ptr.tolist() == [0, 3, 3, 6]
    assert toy.indices[position.cpu()].tolist() == [3, 4, 3, 6, 1, 0]
    before = torch.tensor([21, 21, 15], device=device)
    position, ptr = neighbors(toy.to(device), nodes, -1, KEY, before=before)
    assert toy.indices[position.cpu()].tolist() == [3, 4, 6]
    assert toy.time[position.cpu()].tolist() == [10, 20, NO_TIME]


def test_graph_without_edges_and_batch_without_nodes(body, device, make_csr):
    csr = make_csr([2, 1], [(0, 1)], []).to(device)
    nodes = torch.tensor([1, 0], device=device)
    for options in ({}, {"weighted": True}, {"replace": True}, {"before": nodes}):
        position, ptr = neighbors(csr, nodes, 2, KEY, **options)
        assert position.tolist() == []
        assert ptr.tolist() == [0, 0, 0]
    position, ptr = neighbors(csr, nodes[:0], 2, KEY)
    assert position.shape == (0,)
    assert ptr.tolist() == [0]


def test_a_hub_with_a_million_edges(body, device):
    n = 1_000_000
    csr = SegmentedCSR(
        offset=torch.tensor([0, 1, n + 1]),
        slots=torch.tensor([1, 0]),
        base=torch.tensor([0, 1, 1]),
        segment=torch.tensor([0, n]),
        indices=torch.arange(1, n + 1).int(),
        weight=(torch.arange(n) % 2).float(),
    ).to(device)
    nodes = torch.tensor([0, 9, 0], device=device)
    for options in ({}, {"weighted": True}):
        turn = torch.arange(3, device=device)
        with forced_body("torch"):
            expected = neighbors(csr, nodes, 20, KEY, turn=turn, **options)
        position, ptr = neighbors(csr, nodes, 20, KEY, turn=turn, **options)
        assert position.equal(expected[0])
        assert ptr.tolist() == [0, 20, 20, 40]
        assert not position[:20].equal(position[20:])
    assert bool((position % 2 == 1).all())


def test_a_node_gets_the_same_in_any_batch(body, device, random_csr):
    csr = random_csr(seed=6, edges=90).to(device)
    nodes = torch.arange(csr.num_nodes, device=device)
    position, ptr = neighbors(csr, nodes, 3, KEY)
    order = nodes.flip(0)[::2]  # other order, other company, strided
    some, some_ptr = neighbors(csr, order, 3, KEY)
    for b, node in enumerate(order.tolist()):
        mine = some[some_ptr[b] : some_ptr[b + 1]]
        assert mine.equal(position[ptr[node] : ptr[node + 1]])


def sets_of(csr, node, fanout, times=30_000, **options):
    """Count which sets of edges a node gets."""
    nodes = torch.full((times,), node)
    columns = {name: torch.full((times,), value) for name, value in options.items()}
    columns = {k: bool(v[0]) if k in ("weighted", "replace") else v for k, v in columns.items()}
    position, ptr = neighbors(csr, nodes, fanout, KEY, turn=torch.arange(times), **columns)
    lengths = ptr.diff()
    assert bool((lengths == lengths[0]).all())
    return Counter(tuple(row) for row in position.reshape(times, -1).tolist())


def chi_square(counts, exact):
    assert set(counts) <= set(exact)
    total = sum(exact.values())
    times = sum(counts.values())
    return chisquare(
        [counts[key] for key in exact], [times * share / total for share in exact.values()]
    ).pvalue


@pytest.fixture
def star(make_csr):
    """Give node 0 six edges with weights 1 to 6 and edge ids 0 to 5."""
    return make_csr([7], [(0, 0)], [(0, 0, i + 1, i, float(i + 1), i) for i in range(6)])


def test_uniform_sets_are_equally_likely(star):
    counts = sets_of(star, 0, 3)
    assert chi_square(counts, dict.fromkeys(combinations(range(6), 3), 1.0)) > 1e-3
    counts = sets_of(star, 0, 3, exclude=4)
    assert chi_square(counts, dict.fromkeys(combinations((0, 1, 2, 3, 5), 3), 1.0)) > 1e-3
    counts = sets_of(star, 0, 2, before=4)
    assert chi_square(counts, dict.fromkeys(combinations(range(4), 2), 1.0)) > 1e-3


def successive(weights, fanout):
    """Return the exact probability of each set when edges are taken one after another."""
    exact = Counter()
    for order in permutations(weights, fanout):
        left, chance = sum(weights.values()), 1.0
        for edge in order:
            chance *= weights[edge] / left
            left -= weights[edge]
        exact[tuple(sorted(order))] += chance
    return exact


def test_weighted_sets_match_successive_sampling(star):
    weights = {i: i + 1.0 for i in range(6)}
    assert chi_square(sets_of(star, 0, 3, weighted=True), successive(weights, 3)) > 1e-3
    del weights[5]
    counts = sets_of(star, 0, 2, weighted=True, exclude=5)
    assert chi_square(counts, successive(weights, 2)) > 1e-3


def test_replacement_draws_each_edge_independently(star):
    pairs = sets_of(star, 0, 2, replace=True)
    assert chi_square(pairs, {(a, b): 1.0 for a in range(6) for b in range(6)}) > 1e-3
    pairs = sets_of(star, 0, 2, replace=True, weighted=True, exclude=0)
    exact = {(a, b): (a + 1.0) * (b + 1.0) for a in range(1, 6) for b in range(1, 6)}
    assert chi_square(pairs, exact) > 1e-3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"nodes": torch.tensor([7])}, r"nodes ids in \[0, 7\), got 7"),
        ({"fanout": 0}, "fanout >= 1, or -1"),
        ({"fanout": -2}, "fanout >= 1, or -1"),
        ({"fanout": -1, "replace": True}, "with replace"),
        ({"slots": torch.tensor([2])}, r"slots in \[0, 2\)"),
        ({"slots": torch.tensor([0.0])}, "slots as int64"),
        ({"turn": torch.tensor([-1])}, "turn >= 0"),
        ({"turn": torch.tensor([2**32])}, "turn below"),
        ({"item": torch.tensor([2**32])}, "fewer than"),
        ({"before": torch.tensor([1, 2])}, r"before as int64 \[1\]"),
    ],
)
def test_mistakes_are_told_before_anything_runs(toy, options, message):
    arguments = {"nodes": torch.tensor([0]), "fanout": 2, **options}
    with pytest.raises(GraphRecError, match=f"^neighbors.*: expected .*{message}"):
        neighbors(toy, key=KEY, **arguments)


def test_mistakes_in_the_graph_are_told(random_csr):
    bare = random_csr(time=False, weight=False, edge=False)
    nodes = torch.tensor([0])
    for options, message in (
        ({"before": nodes}, "times"),
        ({"weighted": True}, "weights"),
        ({"exclude": nodes}, "edge ids"),
    ):
        with pytest.raises(GraphRecError, match=f"a graph with {message}"):
            neighbors(bare, nodes, 2, KEY, **options)

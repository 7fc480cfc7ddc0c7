from collections import Counter
from itertools import product

import numpy as np
import pytest
import torch
from scipy.stats import chisquare

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.core.key import Key
from graphrec_pt.kernels.csr import NO_TIME, SegmentedCSR
from graphrec_pt.kernels.dispatch import forced_body
from graphrec_pt.kernels.walk import walk, walk_along

KEY = Key(2024, epoch=3).named("walk")
OPTIONS = {
    "uniform": {},
    "metapath": {"slots": [0, 1, 0, -1, 0]},
    "weighted": {"weighted": True},
    "restart": {"restart": 0.3},
    "near": {"p": 4.0, "q": 0.5},
    "back": {"p": 0.05, "q": 20.0},
    "timed": {"timed": True},
    "after": {"timed": True, "after": 6, "slots": [-1, 0, -1, -1, 1]},
    "exclude": {"exclude": 3},
    "everything": {
        "weighted": True,
        "restart": 0.1,
        "p": 0.1,
        "q": 3.0,
        "timed": True,
        "after": 2,
        "exclude": 5,
    },
}


def options_for(name, roots):
    options = dict(OPTIONS[name])
    if "slots" in options:
        options["slots"] = torch.tensor(options["slots"], device=roots.device)
    for column in ("after", "exclude"):
        if column in options:
            options[column] = (options[column] + torch.arange(len(roots))).to(roots.device) % 13
    return options


def taken_edges(csr, nodes, position):
    """Check that every hop follows a stored edge of the node it starts from."""
    start, end = csr.bounds(nodes[:, :-1].clamp(min=0))
    took = position >= 0
    assert bool(((position >= start) & (position < end))[took].all())
    assert csr.indices[position[took]].long().equal(nodes[:, 1:][took])
    return took


@pytest.mark.parametrize(
    ("name", "index"),
    [
        *((name, torch.int32) for name in OPTIONS),
        *((name, torch.int64) for name in ("metapath", "timed", "exclude")),
    ],
)
def test_bodies_agree_to_the_bit(body, device, random_csr, name, index):
    csr = random_csr(seed=4, edges=90, index=index)
    roots = torch.arange(csr.num_nodes)
    with forced_body("torch"):
        expected = walk(csr, roots, 5, KEY, repeats=2, **options_for(name, roots))
    taken_edges(csr, *expected)
    length = 3 if body == "triton" else 5  # the interpreter is slow
    there, options = roots.to(device), options_for(name, roots.to(device))
    if "slots" in options:
        options["slots"] = options["slots"][:length]
    nodes, position = walk(csr.to(device), there, length, KEY, repeats=2, **options)
    assert nodes.cpu().equal(expected[0][:, : length + 1])
    assert position.cpu().equal(expected[1][:, :length])


@pytest.mark.parametrize("name", OPTIONS)
def test_relations_of_hops_are_those_of_the_edges_taken(body, device, random_csr, name):
    csr = random_csr(seed=6, edges=90).to(device)
    roots = torch.arange(csr.num_nodes, device=device)
    length = 3 if body == "triton" else 5  # the interpreter is slow
    options = options_for(name, roots)
    if "slots" in options:
        options["slots"] = options["slots"][:length]
    # Relation numbers that nothing but (type, slot) could give: 100 · type + slot.
    types, widest = len(csr.slots), int(csr.slots.max())
    table = 100 * torch.arange(types).unsqueeze(1) + torch.arange(widest + 2)
    nodes, position, relation = walk_along(
        csr, roots, length, KEY, table.to(device), repeats=2, **options
    )
    alone = walk(csr, roots, length, KEY, repeats=2, **options)
    assert nodes.equal(alone[0])
    assert position.equal(alone[1])
    segment, base, offset = csr.segment.tolist(), csr.base.tolist(), csr.offset.tolist()
    for source, edge, number in zip(
        nodes[:, :-1].flatten().tolist(),
        position.flatten().tolist(),
        relation.flatten().tolist(),
        strict=True,
    ):
        expected = -1
        if edge >= 0:
            kind = max(k for k in range(types) if offset[k] <= source and offset[k + 1] > source)
            first = base[kind] + (source - offset[kind]) * int(csr.slots[kind])
            bounds = [segment[first + k : first + k + 2] for k in range(int(csr.slots[kind]))]
            (slot,) = [k for k, (low, high) in enumerate(bounds) if low <= edge < high]
            expected = 100 * kind + slot
        assert number == expected


def test_a_table_of_relations_that_does_not_fit_is_refused(make_csr):
    csr = make_csr([2], [(0, 0)], [(0, 0, 1, None, 1.0, 0)])
    with pytest.raises(GraphRecError, match=r"walk_along: expected relations int64 \[1, 1\]"):
        walk_along(csr, torch.tensor([0]), 2, KEY, torch.zeros(2, 1, dtype=torch.int64))


def test_shapes_dead_ends_and_isolated_nodes(body, device, make_csr):
    # 0 → 1 → 2 (a dead end); 3 is isolated.
    csr = make_csr([4], [(0, 0)], [(0, 0, 1, None, 1.0, 0), (0, 1, 2, None, 1.0, 1)]).to(device)
    nodes, position = walk(csr, torch.tensor([0, 3, 2], device=device), 3, KEY, repeats=2)
    assert nodes.dtype == position.dtype == torch.int64
    assert nodes.tolist() == [[0, 1, 2, -1]] * 2 + [[3, -1, -1, -1]] * 2 + [[2, -1, -1, -1]] * 2
    assert position.tolist() == [[0, 1, -1]] * 2 + [[-1] * 3] * 4


def test_graph_without_relations(body, device, make_csr):
    csr = make_csr([2], [], []).to(device)
    for options in ({}, {"weighted": True}, {"q": 0.5}, {"timed": True}):
        nodes, _ = walk(csr, torch.tensor([1], device=device), 2, KEY, **options)
        assert nodes.tolist() == [[1, -1, -1]]


def test_graph_without_edges_and_batch_without_roots(body, device, make_csr):
    csr = make_csr([2, 1], [(0, 1)], []).to(device)
    for options in ({}, {"weighted": True}, {"p": 0.5}, {"timed": True}, {"restart": 0.5}):
        nodes, position = walk(csr, torch.tensor([1], device=device), 2, KEY, **options)
        if "restart" not in options:
            assert nodes.tolist() == [[1, -1, -1]]
        assert position.tolist() == [[-1, -1]]
        nodes, position = walk(csr, torch.empty(0, dtype=torch.int64, device=device), 2, KEY)
        assert nodes.shape == (0, 3)
        assert position.shape == (0, 2)


def test_a_hub_with_a_million_edges(body, device):
    n = 1_000_000
    csr = SegmentedCSR(
        offset=torch.tensor([0, 1, n + 1]),
        slots=torch.tensor([1, 1]),
        base=torch.tensor([0, 1, n + 1]),
        segment=torch.cat([torch.tensor([0]), torch.arange(n, 2 * n + 1)]),
        indices=torch.cat([torch.arange(1, n + 1), torch.zeros(n)]).int(),
        time=torch.cat([torch.arange(n), torch.arange(n)]),
        weight=torch.cat([torch.arange(n) % 2, torch.ones(n)]).float(),
    )
    roots = torch.tensor([0, 5, 0])
    csr, there = csr.to(device), roots.to(device)
    for options in ({}, {"weighted": True}, {"timed": True}):
        with forced_body("torch"):
            expected, _ = walk(csr, there, 4, KEY, **options)
        nodes, position = walk(csr, there, 4, KEY, **options)
        assert nodes.equal(expected)
        taken_edges(csr, nodes, position)
    assert bool((walk(csr, there, 1, KEY, weighted=True)[0][::2, 1] % 2 == 0).all())


def test_strided_and_memory_mapped_arrays(body, device, random_csr, tmp_path):
    csr = random_csr(seed=1, edges=80)
    roots = torch.arange(csr.num_nodes)
    expected, _ = walk(csr.to(device), roots.to(device), 3, KEY, weighted=True, timed=True)
    names = ("offset", "slots", "base", "segment", "indices", "time", "weight", "edge")
    strided = SegmentedCSR(*(getattr(csr, name).repeat_interleave(2)[::2] for name in names))
    doubled = roots.repeat_interleave(2)[::2]
    got, _ = walk(strided.to(device), doubled.to(device), 3, KEY, weighted=True, timed=True)
    assert got.equal(expected)
    for name in names:
        np.save(tmp_path / name, getattr(csr, name).numpy())
    mapped = SegmentedCSR(
        *(torch.from_numpy(np.load(tmp_path / f"{name}.npy", mmap_mode="c")) for name in names)
    )
    got, _ = walk(mapped.to(device), roots.to(device), 3, KEY, weighted=True, timed=True)
    assert got.equal(expected)


@pytest.mark.parametrize("name", ["uniform", "everything"])
def test_a_walk_depends_on_its_root_alone(body, device, random_csr, name):
    csr = random_csr(seed=4, edges=90).to(device)
    roots = torch.arange(csr.num_nodes, device=device)
    options = options_for(name, roots)
    whole, _ = walk(csr, roots, 3, KEY, repeats=3, **options)
    whole = whole.reshape(len(roots), 3, 4)
    order = torch.randperm(len(roots), generator=torch.Generator().manual_seed(0)).to(device)[:9]
    columns = {k: v[order] if k in ("after", "exclude") else v for k, v in options.items()}
    some, _ = walk(csr, roots[order], 2, KEY, repeats=2, **columns)
    assert some.reshape(9, 2, 3).equal(whole[order, :2, :3])
    other, _ = walk(csr, roots[order], 2, KEY.at_epoch(9), repeats=2, **columns)
    assert not other.equal(some)


def chi_square(counts, probabilities):
    seen = np.array([counts.get(edge, 0) for edge in probabilities])
    assert set(counts) <= set(probabilities)
    share = np.array(list(probabilities.values()))
    return chisquare(seen, seen.sum() * share / share.sum()).pvalue


def first_edges(csr, root, walks=40_000, **options):
    roots = torch.full((walks // 1000,), root)
    counts = Counter()
    for epoch in range(len(roots)):
        _, position = walk(csr, roots[:1], 1, KEY.at_epoch(epoch), repeats=1000, **options)
        counts.update(position[:, 0].tolist())
    return dict(counts)


def out_edges(csr, node):
    start, end = csr.bounds(torch.tensor([node]))
    return range(int(start), int(end))


def test_uniform_and_weighted_choice_match_the_exact_distribution(random_csr):
    csr = random_csr(seed=2, edges=90)
    edges = out_edges(csr, 1)
    assert len(edges) > 8
    assert chi_square(first_edges(csr, 1), dict.fromkeys(edges, 1.0)) > 1e-3
    weights = {e: float(csr.weight[e]) for e in edges}
    assert chi_square(first_edges(csr, 1, weighted=True), weights) > 1e-3


def test_exclude_leaves_the_others_as_likely_as_they_were(random_csr):
    csr = random_csr(seed=2, edges=90)
    for node, weighted in product((1, 2), (False, True)):
        edges = out_edges(csr, node)
        heavy = max(edges, key=lambda e: float(csr.weight[e]))
        banned = csr.edge[heavy].long().reshape(1)
        left = {e: float(csr.weight[e]) if weighted else 1.0 for e in edges if e != heavy}
        counts = first_edges(csr, node, weighted=weighted, exclude=banned)
        assert chi_square(counts, left) > 1e-3


def test_exclude_of_nearly_all_weight_is_still_exact(make_csr):
    edges = [(0, 0, 1 + i, None, weight, i) for i, weight in enumerate((1e6, 1.0, 2.0, 3.0))]
    csr = make_csr([5], [(0, 0)], edges)
    counts = first_edges(csr, 0, weighted=True, exclude=torch.tensor([0]))
    assert chi_square(counts, {1: 1.0, 2: 2.0, 3: 3.0}) > 1e-3
    alone = make_csr([2], [(0, 0)], [(0, 0, 1, None, 1.0, 7)])
    nodes, _ = walk(alone, torch.tensor([0]), 2, KEY, exclude=torch.tensor([7]))
    assert nodes.tolist() == [[0, -1, -1]]


@pytest.mark.parametrize(("p", "q"), [(0.25, 4.0), (4.0, 0.25), (1.0, 500.0), (300.0, 1.0)])
@pytest.mark.parametrize("weighted", [False, True])
def test_node2vec_matches_the_exact_distribution(make_csr, p, q, weighted):
    # A triangle 0-1-2 with a pendant 3 at 1, one parallel edge, and 1 → 4 that 0 has too.
    pairs = [(0, 1), (1, 2), (0, 2), (1, 3), (1, 2), (1, 4), (0, 4)]
    both = [*pairs, *((v, u) for u, v in pairs)]
    edges = [(0, u, v, None, 1.0 + i % 3, i) for i, (u, v) in enumerate(both)]
    csr = make_csr([5], [(0, 0)], edges)
    target = csr.indices.tolist()
    exact = {}
    for first in out_edges(csr, 0):
        near = {target[e] for e in out_edges(csr, 0)}
        for second in out_edges(csr, target[first]):
            to = target[second]
            alpha = 1 / p if to == 0 else 1.0 if to in near else 1 / q
            mass = alpha * (float(csr.weight[second]) if weighted else 1.0)
            exact.setdefault(first, {})[second] = mass
    counts = {first: Counter() for first in exact}
    for epoch in range(20):
        options = {"p": p, "q": q, "weighted": weighted, "repeats": 2000}
        _, position = walk(csr, torch.tensor([0]), 2, KEY.at_epoch(epoch), **options)
        for first, second in position.tolist():
            counts[first][second] += 1
    for first, masses in exact.items():
        assert chi_square(dict(counts[first]), masses) > 1e-3


def test_timed_walks_never_go_back_and_choose_uniformly(random_csr):
    csr = random_csr(seed=2, edges=120)
    roots = torch.arange(csr.num_nodes)
    nodes, position = walk(csr, roots, 6, KEY, repeats=50, timed=True)
    took = taken_edges(csr, nodes, position)
    times = torch.where(took, csr.time[position.clamp(min=0)], torch.iinfo(torch.int64).max)
    assert bool((times[:, 1:] >= times[:, :-1]).all())
    assert bool((times == NO_TIME).any())
    after = torch.tensor([6])
    allowed = {e: 1.0 for e in out_edges(csr, 1) if csr.time[e] >= 6}
    assert 1 < len(allowed) < len(out_edges(csr, 1))
    assert chi_square(first_edges(csr, 1, timed=True, after=after), allowed) > 1e-3


def test_timed_walk_by_hand(body, device, toy):
    # User 0 bought item 3 at 10 and 30 and item 4 at 20; user 1 bought item 4 at 15.
    csr = toy.to(device)
    options = {"slots": torch.tensor([0, 0], device=device), "timed": True, "repeats": 64}
    after = torch.tensor([21, 31], device=device)
    nodes, _ = walk(csr, torch.tensor([0, 0], device=device), 2, KEY, after=after, **options)
    # The purchase at 30 is the only one left; the item's tag has no time, so it is too old.
    assert nodes[:64].unique(dim=0).tolist() == [[0, 3, -1]]
    assert nodes[64:].unique(dim=0).tolist() == [[0, -1, -1]]


def test_restart_stands_at_the_root_again(body, device, toy):
    csr = toy.to(device)
    nodes, position = walk(csr, torch.tensor([1], device=device), 5, KEY, repeats=40, restart=0.4)
    jumped = (position == -1) & (nodes[:, 1:] >= 0)
    assert bool((nodes[:, 1:][jumped] == 1).all())
    assert 40 < int(jumped.sum()) < 120  # 80 expected, standard deviation 7
    always, _ = walk(csr, torch.tensor([1], device=device), 3, KEY, restart=1.0)
    assert always.tolist() == [[1, 1, 1, 1]]


def test_metapath_follows_its_slots(body, device, toy):
    slots = torch.tensor([0, 1, 0], device=device)  # buys, bought by (an item's slot 1), buys
    roots = torch.arange(3, device=device)
    nodes, position = walk(toy.to(device), roots, 3, KEY, repeats=20, slots=slots)
    segment = torch.bucketize(position.cpu().clamp(min=0), toy.segment, right=True) - 1
    first = toy.first_segment(nodes[:, :-1].cpu().clamp(min=0))
    took = position.cpu() >= 0
    assert bool(((segment - first) == slots.cpu())[took].all())
    assert bool((nodes[40:, 1:] == -1).all())  # user 2 is isolated
    assert bool((nodes[:40] >= 0).all())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"roots": torch.tensor([7])}, r"roots ids in \[0, 7\), got 7"),
        ({"roots": torch.tensor([-1])}, "got -1"),
        ({"roots": torch.tensor([0.5])}, "int64"),
        ({"length": 0}, "length >= 1"),
        ({"repeats": 0}, "repeats >= 1"),
        ({"repeats": 5000}, "repeats <= 4096"),
        ({"slots": torch.tensor([0])}, "one per hop"),
        ({"slots": torch.tensor([0, 5])}, r"slots in \[-1, 2\)"),
        ({"restart": 1.5}, "restart in"),
        ({"p": 0.0}, "p > 0"),
        ({"after": torch.tensor([3])}, "timed=True"),
        ({"exclude": torch.tensor([3, 4])}, r"exclude as int64 \[1\]"),
    ],
)
def test_mistakes_are_told_before_anything_runs(toy, options, message):
    arguments = {"roots": torch.tensor([0]), "length": 2, **options}
    roots, length = arguments.pop("roots"), arguments.pop("length")
    with pytest.raises(GraphRecError, match=f"^walk: expected .*{message}"):
        walk(toy, roots, length, KEY, **arguments)


def test_mistakes_in_the_graph_are_told(random_csr):
    bare = random_csr(time=False, weight=False, edge=False)
    roots = torch.tensor([0])
    for options, message in (
        ({"timed": True}, "times"),
        ({"weighted": True}, "weights"),
        ({"exclude": torch.tensor([0])}, "edge ids"),
    ):
        with pytest.raises(GraphRecError, match=f"a graph with {message}"):
            walk(bare, roots, 2, KEY, **options)
    for bad in (-1.0, float("nan"), float("inf")):
        csr = random_csr()
        csr.weight[5] = bad
        with pytest.raises(GraphRecError, match=r"weights >= 0 and finite, got .* position 5"):
            walk(csr, roots, 2, KEY, weighted=True)

"""Paths against a slow search of every instance, and against the law of refused walks."""

from fractions import Fraction
from itertools import product

import numpy as np
import pytest
import torch
from scipy.stats import chisquare

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.core.key import Key
from graphrec_pt.kernels.dispatch import forced_body
from graphrec_pt.kernels.paths import best_first, constrained_paths, edge_score, paths

# random_csr's relations: 0 user-item, 1 user-tag, 2 item-tag and their inverses. Slots of a user:
# items, tags; of an item: tags, users; of a tag: users, items.
METAPATHS = {"UTI": ([1, 1], None), "UIUI": ([0, 1, 0], 1), "UITI": ([0, 0, 1], 0)}
METAPATHS["UTUTI"] = ([1, 0, 1, 1], 0)


def edges_of(csr, node, slot):
    kind = int(csr.node_type(torch.tensor(node)))
    g = int(csr.base[kind]) + (node - int(csr.offset[kind])) * int(csr.slots[kind]) + slot
    return range(int(csr.segment[g]), int(csr.segment[g + 1]))


def slow_paths(csr, score, u, i, slots, back, top, cap, exclude):
    """The docstring of `paths`, one pair at a time, in plain Python."""
    score = score.numpy()

    def neighbours(node, slot, taboo):
        best = {}
        for e in edges_of(csr, node, slot):
            v = int(csr.indices[e])
            if v not in taboo and int(csr.edge[e]) != exclude:
                best[v] = max(best.get(v, -np.inf), score[e])
        return sorted(best, key=lambda v: (-best[v], v))[:cap]

    def step(node, slot, target):
        found = [
            e
            for e in edges_of(csr, node, slot)
            if int(csr.indices[e]) == target and int(csr.edge[e]) != exclude
        ]
        return min(found, key=lambda e: (-score[e], e)) if found else None

    fronts = [(u,)]
    for slot in slots[: 1 if len(slots) < 4 else 2]:
        fronts = [(*f, v) for f in fronts for v in neighbours(f[-1], slot, {u, i, *f})]
    tails = [(i,)]
    if len(slots) > 2:
        tails = [(v, i) for v in neighbours(i, back, {u, i})]
    found = []
    for front, tail in product(fronts, tails):
        nodes = (*front, *tail)
        if len(set(nodes)) < len(nodes):
            continue
        steps = [step(a, k, b) for a, k, b in zip(nodes, slots, nodes[1:], strict=False)]
        if None not in steps:
            total = np.float32(0)
            for e in steps:
                total = np.float32(total + score[e])
            found.append((-np.float32(total / np.float32(len(slots))), nodes, steps))
    return [(nodes, steps, -value) for value, nodes, steps in sorted(found)[:top]]


@pytest.mark.parametrize("index", [torch.int32, torch.int64])
@pytest.mark.parametrize("cap", [2, 50])
@pytest.mark.parametrize("name", METAPATHS)
def test_equals_the_slow_way(body, device, random_csr, index, cap, name):
    csr = random_csr(seed=4, edges=120, index=index)
    score = csr.weight / 2 - 1  # few values: many ties
    slots, back = METAPATHS[name]
    pairs = torch.tensor([(u, i) for u in range(7) for i in range(7, 16, 2)])
    exclude = torch.arange(len(pairs)) * 3 - 1
    arguments = [
        x.to(device) for x in (pairs[:, 0], pairs[:, 1])
    ]  # columns of a matrix: not contiguous
    got = paths(
        csr.to(device),
        *arguments,
        slots,
        4,
        score=score.to(device),
        back=back,
        cap=cap,
        exclude=exclude.to(device),
    )
    many = 0
    for row, (u, i) in enumerate(pairs.tolist()):
        expected = slow_paths(csr, score, u, i, slots, back, 4, cap, int(exclude[row]))
        many += len(expected)
        for rank, (nodes, steps, value) in enumerate(expected):
            assert tuple(got.nodes[row, rank].tolist()) == nodes
            assert got.position[row, rank].tolist() == steps
            # A GPU may fuse the products and sums of a score: its last bit can differ.
            assert float(got.score[row, rank]) == pytest.approx(float(value), rel=2e-7)
        assert (got.nodes[row, len(expected) :] == -1).all()
        assert (got.position[row, len(expected) :] == -1).all()
        assert (got.score[row, len(expected) :] == -torch.inf).all()
    assert many > 10  # the case says something


def test_by_hand(body, device, make_csr):
    """User 0 → item 3 over the other user who bought both, or over the tag they share."""
    bought = [(0, 0, 2), (0, 0, 3), (0, 1, 2), (0, 1, 3), (0, 1, 4)]
    tagged = [(1, 2, 5), (1, 3, 5)]
    edges = [(*edge, None, 1.0, n) for n, edge in enumerate([*bought, *tagged])]
    edges += [(r + 2, v, u, None, w, n) for r, u, v, _, w, n in edges]
    csr = make_csr([2, 3, 1], [(0, 1), (1, 2), (1, 0), (2, 1)], edges).to(device)
    user, item = torch.tensor([0], device=device), torch.tensor([3], device=device)
    score = edge_score(csr)
    over_user = paths(csr, user, item, [0, 1, 0], 3, score=score, back=1)
    assert over_user.nodes[0].tolist() == [[0, 2, 1, 3], [-1] * 4, [-1] * 4]
    mean = (1 / np.sqrt(2 * 3) + 2 / np.sqrt(3 * 3)) / 3
    assert float(over_user.score[0, 0]) == pytest.approx(mean)
    over_tag = paths(csr, user, item, [0, 0, 0], 1, score=score, back=0)
    assert over_tag.nodes[0].tolist() == [[0, 2, 5, 3]]
    barred = torch.tensor([5], device=device)  # the tag of item 2
    none = paths(csr, user, item, [0, 0, 0], 1, score=score, back=0, exclude=barred)
    assert none.nodes[0].tolist() == [[-1] * 4]


def test_no_dependence_on_the_batch(body, device, random_csr):
    csr = random_csr(seed=9, edges=200).to(device)
    score = edge_score(csr)
    source, target = torch.arange(6, device=device), torch.arange(7, 13, device=device)
    whole = paths(csr, source, target, [0, 1, 0], 3, score=score, back=1, cap=4)
    for row in range(6):
        one = slice(row, row + 1)
        alone = paths(csr, source[one], target[one], [0, 1, 0], 3, score=score, back=1, cap=4)
        assert alone.nodes[0].equal(whole.nodes[row])
    with forced_body("torch"):
        again = paths(csr, source, target, [0, 1, 0], 3, score=score, back=1, cap=4)
    assert again.nodes.equal(whole.nodes)
    assert again.score.equal(whole.score)


def test_empty(body, device, make_csr):
    csr = make_csr([2, 2], [(0, 1), (1, 0)], []).to(device)
    score = edge_score(csr)
    none = torch.empty(0, dtype=torch.int64, device=device)
    assert paths(csr, none, none, [0, 0, 0], 2, score=score, back=0).nodes.shape == (0, 2, 4)
    one = torch.tensor([0], device=device)
    got = paths(csr, one, one + 2, [0, 0, 0], 2, score=score, back=0)
    assert got.nodes[0].tolist() == [[-1] * 4] * 2


def test_scores_of_edges(body, device, random_csr):
    csr = random_csr(seed=4).to(device)
    vectors = torch.randn(csr.num_nodes, 6, device=device)
    start, end = csr.bounds(torch.arange(csr.num_nodes, device=device))
    source = torch.arange(csr.num_nodes, device=device).repeat_interleave(end - start)
    expected = torch.cosine_similarity(vectors[source], vectors[csr.indices.long()])
    torch.testing.assert_close(edge_score(csr, vectors), expected)
    degree = (end - start).float()
    rare = 1 / (degree[source] * degree[csr.indices.long()]).sqrt()
    torch.testing.assert_close(edge_score(csr), rare)


def test_best_first(random_csr):
    csr = random_csr(seed=4, edges=100)
    order = best_first(csr, csr.weight)
    for start, end in zip(csr.segment[:-1].tolist(), csr.segment[1:].tolist(), strict=True):
        key = [(-float(csr.weight[e]), int(csr.indices[e]), e) for e in order[start:end].tolist()]
        assert key == sorted(key)
        assert {e for _, _, e in key} == set(order[start:end].tolist())
    assert best_first(csr, csr.weight) is order


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"slots": [0]}, "a metapath of 2 to 4 hops, got 1 hops"),
        ({"slots": [0, 1, 1], "back": None}, "back, the inverse slot of the last hop, got none"),
        ({"slots": [0, 2, 0]}, r"a slot in \[0, 2\) of node type 1 at hop 2, got 2"),
        ({"slots": [0, 0, 0]}, "targets of type 0, where the metapath ends, got type 1"),
        ({"back": 0}, "a slot back to type 0, got slot 0, which leads to type 2"),
        ({"source": torch.tensor([0, 8])}, "sources of one node type, got types 0 and 1"),
        ({"exclude": torch.tensor([1])}, r"exclude as integers \[2\], got torch.int64 \[1\]"),
        ({"top": 0}, "top >= 1, got 0"),
        ({"cap": 0}, "cap >= 1, got 0"),
        ({"target": torch.tensor([7, 99])}, r"target ids in \[0, 20\), got 99"),
    ],
)
def test_bad_input(random_csr, change, message):
    csr = random_csr(seed=4)
    arguments = {
        "source": torch.tensor([0, 1]),
        "target": torch.tensor([7, 8]),
        "slots": [0, 1, 0],
        "top": 2,
        "back": 1,
        "score": csr.weight,
    }
    with pytest.raises(GraphRecError, match="paths: expected " + message):
        paths(csr, **{**arguments, **change})


def test_bad_scores(random_csr):
    csr = random_csr(seed=4)
    with pytest.raises(GraphRecError, match=r"score float32 \[120\]"):
        best_first(csr, torch.ones(3))
    with pytest.raises(GraphRecError, match="finite scores"):
        best_first(csr, torch.full((120,), float("nan")))
    with pytest.raises(GraphRecError, match=r"vectors \[20, D\]"):
        edge_score(csr, torch.ones(3, 2))


KEY = Key(3).named("paths")


def law(csr, root, slot, hops, through=None, exclude=-1):
    """Enumerate every walk: probability of each accepted sequence of positions."""
    start, end = (bound.tolist() for bound in csr.bounds(torch.arange(csr.num_nodes)))
    first = int(csr.first_segment(torch.tensor([root]))) + slot
    mine = range(int(csr.segment[first]), int(csr.segment[first + 1]))
    edge, target = csr.edge.tolist(), csr.indices.tolist()
    own = {target[e] for e in mine if edge[e] != exclude}
    found = {}

    def walk(nodes, steps, chance):
        if len(steps) == hops:
            if nodes[-1] in own:
                found[tuple(steps)] = chance
            return
        choices = mine if not steps else range(start[nodes[-1]], end[nodes[-1]])
        for e in choices:
            v = target[e]
            inner = 1 <= len(steps) < hops - 1
            kind = int(csr.node_type(torch.tensor(v)))
            if v in nodes or edge[e] == exclude or (inner and through and kind not in through):
                continue
            walk([*nodes, v], [*steps, e], chance * Fraction(1, len(choices)))

    walk([root], [], Fraction(1))
    total = sum(found.values())
    return {steps: float(chance / total) for steps, chance in found.items()}


@pytest.mark.parametrize(("hops", "through"), [(3, None), (3, (2,)), (4, (0, 2)), (5, (1, 2))])
def test_follows_the_conditioned_walk(random_csr, hops, through):
    csr = random_csr(seed=3, edges=60)
    exclude = int(csr.edge[0])
    expected = law(csr, 0, 0, hops, through, exclude)
    nodes, position = constrained_paths(
        csr,
        torch.tensor([0]),
        0,
        20_000,
        KEY,
        hops=hops,
        through=through,
        exclude=torch.tensor([exclude]),
    )
    drawn = nodes[0, :, 0] == 0  # rare: given up
    assert int(drawn.sum()) > 10_000
    nodes, position = nodes[:, drawn], position[:, drawn]
    found = dict.fromkeys(expected, 0)
    for steps in position[0].tolist():
        found[tuple(steps)] += 1  # a KeyError is an illegal path
    assert len(expected) >= 3
    assert nodes[0, :, 1:].equal(csr.indices[position[0]].long())
    share = [expected[steps] * int(drawn.sum()) for steps in found]
    assert chisquare(list(found.values()), share).pvalue > 1e-3


@pytest.mark.parametrize("index", [torch.int32, torch.int64])
@pytest.mark.parametrize("hops", [3, 5])
def test_bodies_agree_to_the_bit(body, device, random_csr, index, hops):
    csr = random_csr(seed=2, edges=80, index=index).to(device)
    roots = torch.tensor([[0, 9], [6, 9], [3, 9], [0, 9]], device=device)[:, 0]  # 6 is isolated
    exclude = csr.edge[csr.bounds(roots)[0]].long()
    exclude[1] = -1
    options = {"hops": hops, "exclude": exclude, "tries": 12, "through": [0, 2]}
    nodes, position = constrained_paths(csr, roots, 0, 7, KEY, **options)
    with forced_body("torch"):
        reference = constrained_paths(csr, roots, 0, 7, KEY, **options)
    assert nodes.equal(reference[0])
    assert position.equal(reference[1])
    assert (nodes[1] == -1).all()
    assert (nodes >= 0).any()
    assert ((nodes >= 0).all(2) | (nodes == -1).all(2)).all()
    assert nodes[0].equal(nodes[3])


def test_no_dependence_on_the_batch_or_the_count(body, device, random_csr):
    csr = random_csr(seed=2, edges=80).to(device)
    roots = torch.arange(6, device=device)
    whole, _ = constrained_paths(csr, roots, 0, 9, KEY, tries=20)
    for row in (5, 0):
        alone, _ = constrained_paths(csr, roots[row : row + 1], 0, 4, KEY, tries=20)
        assert alone[0].equal(whole[row, :4])
    other, _ = constrained_paths(csr, roots, 0, 9, KEY.at_epoch(1), tries=20)
    assert not other.equal(whole)


def test_one_item_or_nothing(body, device, toy, make_csr):
    """A user with one item has nowhere to end; a graph without edges has no paths."""
    nodes, _ = constrained_paths(
        toy.to(device), torch.tensor([1], device=device), 0, 3, KEY, tries=9
    )
    assert nodes.tolist() == [[[-1] * 4] * 3]
    empty = make_csr([2, 2], [(0, 1)], []).to(device)
    users = torch.tensor([0, 1], device=device)
    assert (constrained_paths(empty, users, 0, 3, KEY, tries=2)[0] == -1).all()
    assert constrained_paths(empty, users[:0], 0, 3, KEY)[0].shape == (0, 3, 4)


def test_parallel_edges_survive_the_exclusion_of_one(body, device, toy):
    """User 0 bought item 3 twice; without one of the two it is still an own item."""
    csr = toy.to(device)
    user = torch.tensor([0], device=device)
    for bought, kept in ((0, True), (1, False)):  # edge 1 is the only one to item 4
        exclude = torch.tensor([bought], device=device)
        nodes, _ = constrained_paths(csr, user, 0, 5, KEY, exclude=exclude, tries=32)
        assert bool((nodes >= 0).all()) is kept


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"roots": torch.tensor([70])}, r"root ids in \[0, 7\), got 70"),
        ({"slot": 3}, r"a slot in \[0, 1\) for node 0, got 3"),
        ({"count": 0}, "count >= 1, got 0"),
        ({"exclude": torch.tensor([1, 2])}, r"exclude as integers \[1\]"),
        ({"hops": 1}, "2 <= hops <= 8, got 1"),
        ({"tries": 4096}, "1 <= tries <= 2048, got 4096"),
        ({"through": [5]}, r"through types in \[0, 3\), got 5"),
    ],
)
def test_bad_input_of_constrained_paths(toy, change, message):
    arguments = {"roots": torch.tensor([0]), "slot": 0, "count": 2, "key": KEY, **change}
    with pytest.raises(GraphRecError, match="constrained_paths: expected " + message):
        constrained_paths(toy, **arguments)

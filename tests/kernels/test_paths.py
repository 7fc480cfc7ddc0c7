from itertools import product

import numpy as np
import pytest
import torch

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.kernels.dispatch import forced_body
from graphrec_pt.kernels.edge_score import best_first, edge_score
from graphrec_pt.kernels.paths import paths

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

from fractions import Fraction

import pytest
import torch
from scipy.stats import chisquare

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.core.key import Key
from graphrec_pt.kernels.constrained_paths import constrained_paths
from graphrec_pt.kernels.dispatch import forced_body

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
def test_bad_input(toy, change, message):
    arguments = {"roots": torch.tensor([0]), "slot": 0, "count": 2, "key": KEY, **change}
    with pytest.raises(GraphRecError, match="constrained_paths: expected " + message):
        constrained_paths(toy, **arguments)

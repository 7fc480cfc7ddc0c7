from dataclasses import replace

import networkx as nx
import numpy as np
import pytest
import torch

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.kernels.dispatch import forced_body
from graphrec_pt.kernels.ppr import ppr


def adjacency(csr):
    """Edge counts between nodes, every relation together: float64 [N, N]."""
    n = csr.num_nodes
    start, end = (bound.tolist() for bound in csr.bounds(torch.arange(n)))
    counts = np.zeros((n, n))
    for u in range(n):
        for e in range(start[u], end[u]):
            counts[u, int(csr.indices[e])] += 1
    return counts


def exact(csr, alpha):
    """Solve π = α (I − (1 − α) P)⁻¹ with dead ends that keep the walk: float64 [N, N]."""
    counts = adjacency(csr)
    dead = counts.sum(1) == 0
    counts[dead, dead] = 1
    step = counts / counts.sum(1, keepdims=True)
    return alpha * np.linalg.inv(np.eye(len(step)) - (1 - alpha) * step)


def estimates(csr, roots, **options):
    """Scores as a dense [B, N]."""
    node, score = ppr(csr, roots, csr.num_nodes, **options)
    dense = torch.zeros(len(roots), csr.num_nodes + 1, dtype=torch.float64, device=node.device)
    return dense.scatter_(1, node % (csr.num_nodes + 1), score)[:, :-1].cpu().numpy()


def without(csr, number):
    """The graph built without an edge, however often its id stands there."""
    kept = csr.edge != number
    before = torch.cat([torch.zeros(1, dtype=torch.int64), kept.cumsum(0)])
    return replace(
        csr,
        segment=before[csr.segment],
        indices=csr.indices[kept],
        edge=csr.edge[kept],
        time=csr.time[kept],
        weight=csr.weight[kept],
    )


@pytest.mark.parametrize("alpha", [0.15, 0.5])
@pytest.mark.parametrize("epsilon", [1e-3, 1e-6, 1e-9])
def test_within_the_bound_of_the_exact_solution(body, device, random_csr, alpha, epsilon):
    interpreted = body == "triton" and device.type == "cpu"
    if interpreted and epsilon < 1e-4:
        pytest.skip("too many pushes for the interpreter")
    csr = random_csr(seed=5, edges=90)
    degree = adjacency(csr).sum(1)
    roots = torch.arange(0, csr.num_nodes, 9 if interpreted else 1, device=device)
    truth = exact(csr, alpha)[roots.cpu()]
    got = estimates(csr.to(device), roots, alpha=alpha, epsilon=epsilon)
    rounding = 2.0**-60 / (alpha * epsilon) + 2.0**-31
    assert (got <= truth + rounding).all()
    assert (truth - got <= epsilon * degree + rounding).all()


def test_directed_graph_with_a_dead_end(body, device, make_csr):
    """0 → {1, 2}, 1 → 3 (a dead end), 2 → 0: solved by hand for α = 1/2."""
    edges = [(0, 0, 1), (0, 0, 2), (0, 1, 3), (0, 2, 0)]
    csr = make_csr([4], [(0, 0)], [(*edge, None, 1.0, i) for i, edge in enumerate(edges)])
    node, score = ppr(csr.to(device), torch.tensor([0], device=device), 4, alpha=0.5, epsilon=1e-12)
    # π(0) = 1/2 + π(0)/8: 4/7; π(1) = π(2) = π(0)/4; a walk that reaches 3 stays.
    assert node.tolist() == [[0, 1, 2, 3]]
    expected = torch.tensor([[4, 1, 1, 1]], dtype=torch.float64) / 7
    torch.testing.assert_close(score.cpu(), expected, rtol=0, atol=1e-9)


def test_agrees_with_networkx(random_csr):
    csr = random_csr(seed=8, edges=70)
    graph = nx.from_numpy_array(adjacency(csr), create_using=nx.DiGraph)
    truth = nx.pagerank(graph, alpha=0.85, personalization={2: 1}, dangling={2: 1}, tol=1e-13)
    node, score = ppr(csr, torch.tensor([2]), 5, alpha=0.15, epsilon=1e-11)
    order = sorted(truth, key=lambda u: (-round(truth[u], 9), u))
    assert node[0].tolist() == order[:5]
    assert score[0].tolist() == pytest.approx([truth[u] for u in order[:5]], abs=1e-8)


@pytest.mark.parametrize("index", [torch.int32, torch.int64])
def test_bodies_agree_to_the_bit(body, device, random_csr, index):
    csr = random_csr(seed=6, counts=(30, 40, 10), edges=300, index=index).to(device)
    roots = torch.tensor([[5, 0], [79, 0], [31, 0], [5, 0]], device=device)[:, 0]  # 79 is isolated
    node, score = ppr(csr, roots, 12, epsilon=1e-3)
    with forced_body("torch"):
        reference, mass = ppr(csr, roots, 12, epsilon=1e-3)
    assert node.equal(reference)
    assert score.equal(mass)
    assert node[0].equal(node[3])
    assert node[1].tolist() == [79] + [-1] * 11
    assert score[1].tolist() == [1.0] + [0.0] * 11
    alone = ppr(csr, roots[2:3], 12, epsilon=1e-3)
    assert alone[0][0].equal(node[2])


@pytest.mark.parametrize("inverse", [True, False])
@pytest.mark.parametrize("epsilon", [0.5, 1e-2, 1e-4])
def test_exclude_equals_removal(body, device, random_csr, make_csr, inverse, epsilon):
    interpreted = body == "triton" and device.type == "cpu"
    if interpreted and epsilon < 1e-2:
        pytest.skip("too many pushes for the interpreter")
    if inverse:
        csr = random_csr(seed=9, counts=(8, 6), relations=((0, 0), (0, 1)), edges=40)
    else:
        ends = torch.randint(14, (30, 2), generator=torch.Generator().manual_seed(2)).tolist()
        csr = make_csr([14], [(0, 0)], [(0, u, v, None, 1.0, e) for e, (u, v) in enumerate(ends)])
    start, end = csr.bounds(torch.arange(14))
    source = torch.arange(14).repeat_interleave(end - start)
    loops = csr.edge[csr.indices == source]
    assert len(loops.unique()) * (2 if inverse else 1) == len(loops) > 0
    # −1 and 10**12 are no edge's id.
    numbers = [-1, int(loops[0]), int(csr.edge[0])]
    numbers += [] if interpreted else [10**12, *range(0, 30, 4)]
    roots = torch.arange(0, 14, 5 if interpreted else 1)
    exclude = torch.tensor(numbers).repeat_interleave(len(roots)).to(device)
    given = roots.repeat(len(numbers)).to(device)
    node, score = ppr(csr.to(device), given, 14, epsilon=epsilon, exclude=exclude)
    nodes, scores = node.split(len(roots)), score.split(len(roots))
    for at, number in enumerate(numbers):
        removed = ppr(without(csr, number).to(device), roots.to(device), 14, epsilon=epsilon)
        assert nodes[at].equal(removed[0])
        assert scores[at].equal(removed[1])
    assert any(not part.equal(scores[0]) for part in scores)


def test_exclude_moves_a_degree_over_the_threshold(body, device, make_csr):
    """0 → {1, 2}; 1 → {3, 4, 5} pushes its residual, ε = 0.15, only with one edge less."""
    ends = [(0, 1), (0, 2), (1, 3), (1, 4), (1, 5)]
    csr = make_csr([6], [(0, 0)], [(0, u, v, None, 1.0, e) for e, (u, v) in enumerate(ends)])
    root = torch.tensor([0, 0], device=device)
    exclude = torch.tensor([-1, 4], device=device)
    node, score = ppr(csr.to(device), root, 6, alpha=0.25, epsilon=0.15, exclude=exclude)
    # 1 holds 3/8, below 3 · 0.15 but above 2 · 0.15; 2 is a dead end and keeps its own.
    assert node.tolist() == [[2, 0, 1, -1, -1, -1], [2, 0, 3, 4, 1, -1]]
    assert score[0].tolist() == pytest.approx([3 / 8, 1 / 4, 3 / 32, 0, 0, 0])
    quarter = 3 / 8 * 3 / 8
    assert score[1].tolist() == pytest.approx([3 / 8, 1 / 4, quarter, quarter, 3 / 32, 0])


def test_mass_of_equal_nodes_goes_by_id(body, device, make_csr):
    leaves = [(0, 0, v, None, 1.0, v) for v in (7, 3, 5, 1)]
    csr = make_csr([1, 8], [(0, 1)], leaves).to(device)
    node, score = ppr(csr, torch.tensor([0], device=device), 3)
    assert node.tolist() == [[1, 3, 5]]
    assert score[0].tolist() == [score[0, 0].item()] * 3


def test_empty_batch_and_empty_graph(body, device, make_csr):
    csr = make_csr([2, 1], [(0, 1)], []).to(device)
    none = torch.empty(0, dtype=torch.int64, device=device)
    assert ppr(csr, none, 3)[0].shape == (0, 3)
    assert ppr(csr, torch.tensor([1], device=device), 4)[0].tolist() == [[1, -1, -1, -1]]


def test_hub(body, device, make_csr):
    if body == "triton" and device.type == "cpu":
        pytest.skip("a million edges are too many for the interpreter")
    n = 1_000_000
    empty = make_csr([1, n], [(0, 1)], [])
    csr = type(empty)(
        offset=empty.offset,
        slots=empty.slots,
        base=empty.base,
        segment=torch.tensor([0, n]),
        indices=torch.arange(1, n + 1).int(),
    ).to(device)
    root = torch.tensor([0], device=device)
    node, score = ppr(csr, root, 3, epsilon=1e-4)  # the root is pushed in any case
    assert node.tolist() == [[0, 1, 2]]
    assert score[0].tolist() == pytest.approx([0.15, 0.85 / n, 0.85 / n])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"k": 0}, "k >= 1, got 0"),
        ({"roots": torch.tensor([-3])}, r"root ids in \[0, 7\), got -3"),
        ({"alpha": 1.0}, "0 < alpha < 1, got 1.0"),
        ({"alpha": float("nan")}, "0 < alpha < 1, got nan"),
        ({"epsilon": 0.0}, "1e-12 <= epsilon < 1, got 0.0"),
        ({"exclude": torch.tensor([1, 2])}, r"exclude as integers \[1\], got torch.int64 \[2\]"),
    ],
)
def test_bad_input(toy, change, message):
    with pytest.raises(GraphRecError, match="ppr: expected " + message):
        ppr(toy, **{"roots": torch.tensor([0]), "k": 2, **change})


def test_exclude_needs_edge_ids(make_csr):
    csr = make_csr([2], [(0, 0)], [(0, 0, 1, None, 1.0, 0)], edge=False)
    with pytest.raises(GraphRecError, match="ppr: expected a graph with edge ids for exclude"):
        ppr(csr, torch.tensor([0]), 2, exclude=torch.tensor([0]))

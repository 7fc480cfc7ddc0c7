import pytest
import torch

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.kernels.induce import induce


def slow_induce(csr, sequences):
    """Every edge of every token, kept when its target is in the sequence; sorted as promised."""
    edges, position, ptr = [], [], [0]
    for nodes in sequences:
        found = []
        for i, u in enumerate(nodes):
            kind = int(csr.node_type(torch.tensor(u, device=csr.offset.device)))
            first = int(csr.base[kind]) + (u - int(csr.offset[kind])) * int(csr.slots[kind])
            for k in range(int(csr.slots[kind])):
                for e in range(int(csr.segment[first + k]), int(csr.segment[first + k + 1])):
                    v = int(csr.indices[e])
                    found += [(i, k, v, j, e) for j, node in enumerate(nodes) if node == v]
        for i, k, _, j, e in sorted(found):
            edges.append([i, k, j])
            position.append(e)
        ptr.append(len(edges))
    return edges, position, ptr


def packed(sequences, device):
    nodes = torch.tensor([u for nodes in sequences for u in nodes], dtype=torch.int64)
    ptr = torch.tensor([0, *(len(nodes) for nodes in sequences)]).cumsum(0)
    return nodes.to(device), ptr.to(device)


@pytest.mark.parametrize("index", [torch.int32, torch.int64])
@pytest.mark.parametrize("edges", [0, 60, 200])
def test_equals_the_slow_way(body, device, random_csr, index, edges):
    csr = random_csr(seed=edges, edges=edges, index=index).to(device)
    draw = torch.Generator().manual_seed(edges)
    # Empty, one node, everything, with repetitions.
    sizes = (0, 1, 5, 20, 0, 12)
    sequences = [torch.randint(20, (size,), generator=draw).tolist() for size in sizes]
    sequences.append(list(range(20)))
    got = induce(csr, *packed(sequences, device))
    expected, position, ptr = slow_induce(csr, sequences)
    assert got.edges.tolist() == expected
    assert got.position.tolist() == position
    assert got.ptr.tolist() == ptr


def test_batch_of_nothing(body, device, toy):
    none = torch.empty(0, dtype=torch.int64, device=device)
    got = induce(toy.to(device), none, torch.zeros(1, dtype=torch.int64, device=device))
    assert got.edges.shape == (0, 3)
    assert got.ptr.tolist() == [0]


def test_graph_without_relations(body, device, make_csr):
    csr = make_csr([3], [], []).to(device)
    nodes, ptr = torch.arange(3, device=device), torch.tensor([0, 3], device=device)
    got = induce(csr, nodes, ptr)
    assert got.edges.shape == (0, 3)
    assert got.ptr.tolist() == [0, 0]


def test_nodes_with_strides(body, device, toy):
    csr = toy.to(device)
    nodes = torch.tensor([[0, 9], [3, 9], [6, 9]], device=device)[:, 0]
    got = induce(csr, nodes, torch.tensor([0, 3], device=device))
    # User 0 bought item 3 twice; item 3 has its tag; and all of it backwards.
    expected = [[0, 0, 1], [0, 0, 1], [1, 0, 2], [1, 1, 0], [1, 1, 0], [2, 0, 1]]
    assert got.edges.tolist() == expected


def test_a_hub_costs_what_its_sequence_is_long(body, device, make_csr):
    if body == "triton" and device.type == "cpu":
        pytest.skip("a million edges are too many for the interpreter")
    n = 1_000_000
    empty = make_csr([1, n], [(0, 1)], [])
    csr = type(empty)(
        offset=empty.offset,
        slots=empty.slots,
        base=empty.base,
        segment=torch.tensor([0, n]),
        indices=torch.arange(n, 0, -1).int(),
    ).to(device)
    nodes = torch.tensor([5, 0, 77, n], device=device)
    got = induce(csr, nodes, torch.tensor([0, 4], device=device))
    assert got.edges.tolist() == [[1, 0, 0], [1, 0, 2], [1, 0, 3]]
    assert got.position.tolist() == [n - 5, n - 77, 0]


def test_bad_input(toy):
    with pytest.raises(GraphRecError, match=r"induce: expected node ids in \[0, 7\), got 9"):
        induce(toy, torch.tensor([0, 9]), torch.tensor([0, 2]))
    with pytest.raises(GraphRecError, match="induce: expected ptr ascending from 0 to 2"):
        induce(toy, torch.tensor([0, 3]), torch.tensor([0, 1]))

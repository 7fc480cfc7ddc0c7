"""Membership and induced edges against sets of pairs."""

import gc
import weakref

import pytest
import torch

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.kernels.adjacency import (
    ANY,
    in_batch,
    induce,
    member,
    sorted_targets,
    target_order,
)


def edge_set(csr):
    """Every (source, slot, target), read segment by segment."""
    found = set()
    for kind in range(len(csr.slots)):
        for u in range(int(csr.offset[kind]), int(csr.offset[kind + 1])):
            for k in range(int(csr.slots[kind])):
                g = int(csr.base[kind]) + (u - int(csr.offset[kind])) * int(csr.slots[kind]) + k
                for e in range(int(csr.segment[g]), int(csr.segment[g + 1])):
                    found.add((u, k, int(csr.indices[e])))
    return found


@pytest.mark.parametrize("index", [torch.int32, torch.int64])
def test_targets_ascend_inside_each_segment(body, device, random_csr, index):
    csr = random_csr(seed=3, index=index).to(device)
    order, ascending = target_order(csr), sorted_targets(csr)
    assert ascending.dtype == index
    assert ascending.equal(csr.indices[order])
    for start, end in zip(csr.segment[:-1].tolist(), csr.segment[1:].tolist(), strict=True):
        assert order[start:end].tolist() == sorted(
            range(start, end), key=lambda e: (int(csr.indices[e]), e)
        )


def test_companions_are_built_once_and_let_go_with_their_graph(random_csr):
    csr = random_csr(seed=3)
    assert sorted_targets(csr) is sorted_targets(csr)
    assert target_order(csr) is target_order(csr)
    untimed = random_csr(seed=3, time=True, edges=0)
    assert sorted_targets(untimed) is untimed.indices
    gone = [weakref.ref(csr.indices), weakref.ref(untimed.indices)]
    del csr, untimed
    gc.collect()
    assert [ref() for ref in gone] == [None, None]


@pytest.mark.parametrize("index", [torch.int32, torch.int64])
def test_every_triple_of_a_graph(body, device, random_csr, index):
    csr = random_csr(seed=1, index=index).to(device)
    edges, n = edge_set(csr), csr.num_nodes
    triples = [
        (u, k, v)
        for u in range(n)
        for k in range(int(csr.slots[csr.node_type(torch.tensor(u, device=device))]))
        for v in range(n)
    ]
    source, slot, target = torch.tensor(triples, device=device).T  # not contiguous
    got = member(csr, source, slot, target)
    assert got.tolist() == [triple in edges for triple in triples]


def test_any_relation_and_one_slot_for_all(body, device, random_csr):
    csr = random_csr(seed=2).to(device)
    edges, n = edge_set(csr), csr.num_nodes
    source = torch.arange(n, device=device).repeat_interleave(n)
    target = torch.arange(n, device=device).repeat(n)
    pairs = {(u, v) for u, _, v in edges}
    expected = [(u, v) in pairs for u in range(n) for v in range(n)]
    assert member(csr, source, ANY, target).tolist() == expected
    first = [(u, 0, v) in edges for u in range(n) for v in range(n)]
    assert member(csr, source, 0, target).tolist() == first


def test_in_batch_marks_true_edges(body, device, toy):
    csr = toy.to(device)
    users = torch.tensor([0, 1, 0], device=device)
    items = torch.tensor([3, 4, 4], device=device)
    expected = [[True, True, True], [False, True, True], [True, True, True]]
    assert in_batch(csr, users, 0, items).tolist() == expected


def test_empty_batch_and_empty_graph(body, device, make_csr):
    csr = make_csr([2, 2], [(0, 1)], []).to(device)
    none = torch.empty(0, dtype=torch.int64, device=device)
    assert member(csr, none, 0, none).tolist() == []
    one = torch.tensor([1], device=device)
    assert member(csr, one, 0, one + 2).tolist() == [False]
    # The items have no relation at all.
    assert member(csr, one + 2, ANY, one).tolist() == [False]


def test_hub(body, device, make_csr):
    if body == "triton" and device.type == "cpu":
        pytest.skip("a million edges are too many for the interpreter")
    n = 1_000_000
    hub = make_csr([1, n], [(0, 1)], [])
    csr = type(hub)(
        offset=hub.offset,
        slots=hub.slots,
        base=hub.base,
        segment=torch.tensor([0, n // 2]),
        indices=torch.arange(1, n, 2).flip(0).int(),
    ).to(device)
    target = torch.tensor([1, 2, n - 1, n - 2, 77_777], device=device)
    got = member(csr, torch.zeros_like(target), 0, target)
    assert got.tolist() == [True, False, True, False, True]


@pytest.mark.parametrize(
    ("source", "slot", "target", "message"),
    [
        ([7], 0, [3], r"member: expected source ids in \[0, 7\), got 7"),
        ([0], 0, [-1], r"member: expected target ids in \[0, 7\), got -1"),
        ([0, 6], 1, [3, 3], r"a slot in \[0, 1\) for node 0, got 1; try -1 for every relation"),
        ([0], -2, [3], r"a slot in \[0, 1\) for node 0, got -2"),
        ([0, 1], 0, [3], r"expected 2 target ids, got 1"),
    ],
)
def test_bad_input(toy, source, slot, target, message):
    with pytest.raises(GraphRecError, match=message):
        member(toy, torch.tensor(source), slot, torch.tensor(target))


def test_ids_must_be_integers(toy):
    with pytest.raises(GraphRecError, match="source as int32 or int64"):
        member(toy, torch.tensor([0.5]), 0, torch.tensor([3]))


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


def test_bad_input_of_induce(toy):
    with pytest.raises(GraphRecError, match=r"induce: expected node ids in \[0, 7\), got 9"):
        induce(toy, torch.tensor([0, 9]), torch.tensor([0, 2]))
    with pytest.raises(GraphRecError, match="induce: expected ptr ascending from 0 to 2"):
        induce(toy, torch.tensor([0, 3]), torch.tensor([0, 1]))

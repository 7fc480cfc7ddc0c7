"""Peers that walk and sample: DGL, torch_cluster and what one writes in plain torch."""

from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.data import convert
from graphrec_pt.kernels.csr import SegmentedCSR

Gather = Callable[[Tensor, Tensor], Tensor]


def import_dgl() -> Any:
    """Import DGL through the bridge; None without it."""
    try:
        return convert.import_dgl()
    except GraphRecError:
        return None


def dgl_graph(dgl: Any, csr: SegmentedCSR) -> Any:
    """Return a graph of one type and one relation as DGL's."""
    number = torch.arange(csr.num_edges)
    parts = ("csr", (csr.segment, csr.indices.long(), number))
    graph = dgl.graph(parts, num_nodes=csr.num_nodes)
    graph.create_formats_()
    if csr.weight is not None:
        graph.edata["w"] = csr.weight
    return graph


def dgl_bipartite(dgl: Any, csr: SegmentedCSR) -> Any:
    """Return a graph of users and items with relations r0, r1, … each way as DGL's."""
    users, items = (int(n) for n in csr.offset.diff())
    relations = int(csr.slots[0])
    kinds, shift, count = ("user", "item"), (users, 0), (users, items)
    data = {}
    for side in (0, 1):
        for slot in range(relations):
            first = csr.base[side] + torch.arange(count[side]) * relations + slot
            start, size = csr.segment[first], csr.segment[first + 1] - csr.segment[first]
            ptr = torch.cat([torch.zeros(1, dtype=torch.int64), size.cumsum(0)])
            place = torch.arange(int(ptr[-1])) + (start - ptr[:-1]).repeat_interleave(size)
            target = csr.indices[place].long() - shift[side]
            name = f"r{slot}" if side == 0 else f"back{slot}"
            data[kinds[side], name, kinds[1 - side]] = (
                "csr",
                (ptr, target, torch.arange(len(target))),
            )
    graph = dgl.heterograph(data, num_nodes_dict=dict(zip(kinds, count, strict=True)))
    graph.create_formats_()
    return graph


def import_torch_cluster() -> Any:
    """Return torch_cluster's compiled operators, None without."""
    if find_spec("torch_cluster") is None:
        return None
    import_module("torch_cluster")
    return torch.ops.torch_cluster


def subscript(array: Tensor, place: Tensor) -> Tensor:
    """Gather as one writes it."""
    return array[place]


def select(array: Tensor, place: Tensor) -> Tensor:
    """Gather as it is fastest in torch, where places are one row."""
    return array.index_select(0, place)


def torch_walk(csr: SegmentedCSR, roots: Tensor, length: int, gather: Gather = subscript) -> int:
    """Walk in plain vectorised torch, all walkers hop by hop; returns the steps."""
    node = roots
    for _ in range(length):
        start = gather(csr.segment, node)
        degree = gather(csr.segment, node + 1) - start
        place = start + (torch.rand(len(node)) * degree).long()
        node = gather(csr.indices, place).long()
    return len(roots) * length


def torch_fanout(csr: SegmentedCSR, roots: Tensor, fanout: int, gather: Gather = subscript) -> int:
    """Sample two hops with replacement in plain vectorised torch; returns the edges."""
    total, node = 0, roots
    for _ in range(2):
        start = gather(csr.segment, node)
        degree = gather(csr.segment, node + 1) - start
        rank = (torch.rand(len(node), fanout) * degree[:, None]).long()
        node = gather(csr.indices, (start[:, None] + rank).reshape(-1)).long()
        total += len(node)
    return total

"""Neighbour fan-out 10×10, pooled and relation-aware."""

from functools import partial
from typing import Any

import torch
from torch import Tensor

from graphrec_pt.core.key import Key
from graphrec_pt.kernels.csr import SegmentedCSR
from graphrec_pt.kernels.neighbors import neighbors
from sections.graphs import power_law
from sections.measure import Contestant, Row, Settings, contest
from sections.samplers import dgl_bipartite, dgl_graph, import_dgl, select, torch_fanout

FANOUT = 10
UNIT = "M edges/s"


def rows(settings: Settings) -> list[Row]:
    """Measure two hops of neighbour sampling from a batch of roots."""
    nodes, edges = (20_000, 1_000_000) if settings.quick else (200_000, 20_000_000)
    batch = 512 if settings.quick else 4096
    name = f"{nodes // 1000} k nodes, {edges / 1e6:.0f} M edges"
    draw = torch.Generator().manual_seed(0)
    roots = torch.randint(nodes // 2, (batch,), generator=draw)
    return _pooled(power_law(nodes, edges), roots, name, settings) + _by_relation(
        power_law(nodes, edges, relations=2, half=nodes // 2), roots, name, settings
    )


def _ours(csr: SegmentedCSR, roots: Tensor, **options: Any) -> int:
    """Sample hop by hop; every occurrence of a node draws for itself."""
    total, node, root = 0, roots, roots
    for hop in range(2):
        turn = torch.arange(len(node))
        key = Key(0).named(f"hop {hop}")
        position, ptr = neighbors(csr, node, FANOUT, key, item=root, turn=turn, **options)
        if hop == 0:
            root = root.repeat_interleave(ptr.diff())
        node = csr.indices.index_select(0, position).long()  # indexing takes four times as long
        total += len(node)
    return total


def _pooled(csr: SegmentedCSR, roots: Tensor, name: str, settings: Settings) -> list[Row]:
    note = "with replacement"
    peers = [
        Contestant("torch", partial(torch_fanout, csr, roots, FANOUT), note=note),
        Contestant(
            "torch, index_select", partial(torch_fanout, csr, roots, FANOUT, select), note=note
        ),
    ]
    dgl = import_dgl()
    if dgl is not None:
        graph = dgl_graph(dgl, csr)

        def dgl_sample() -> int:
            total, seeds = 0, _distinct(roots)
            for _ in range(2):
                part = dgl.sampling.sample_neighbors(graph, seeds, FANOUT, edge_dir="out")
                total += part.num_edges()
                seeds = _distinct(part.edges()[1])
            return total

        peers.append(Contestant("dgl", dgl_sample, target=5, note="one draw per distinct node"))
    return contest("fan-out 10×10", name, UNIT, partial(_ours, csr, roots), peers, settings)


def _by_relation(csr: SegmentedCSR, roots: Tensor, name: str, settings: Settings) -> list[Row]:
    peers = []
    dgl = import_dgl()
    if dgl is not None:
        graph = dgl_bipartite(dgl, csr)

        def dgl_sample() -> int:
            total, seeds = 0, {"user": _distinct(roots)}
            for _ in range(2):
                part = dgl.sampling.sample_neighbors(graph, seeds, FANOUT, edge_dir="out")
                total += part.num_edges()
                reached: dict[str, list[Tensor]] = {"user": [], "item": []}
                for kind in part.canonical_etypes:
                    reached[kind[2]].append(part.edges(etype=kind)[1])
                seeds = {kind: _distinct(torch.cat(found)) for kind, found in reached.items()}
            return total

        peers.append(Contestant("dgl", dgl_sample, target=5, note="one draw per distinct node"))
    run = partial(_ours, csr, roots, slots=torch.arange(2))
    graph_name = f"{name}, 2 × 2 relations"
    return contest("fan-out 10×10 by relation", graph_name, UNIT, run, peers, settings)


def _distinct(nodes: Tensor) -> Tensor:
    distinct: Tensor = nodes.unique()  # type: ignore[no-untyped-call]
    return distinct

"""Walks: uniform, metapath, weighted and node2vec, and what a step costs as graphs grow."""

from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor

from graphrec_pt.core.key import Key
from graphrec_pt.data.synthetic import synthetic_graph
from graphrec_pt.kernels.adjacency import torch_edge_relation
from graphrec_pt.kernels.csr import SegmentedCSR
from graphrec_pt.kernels.walk import walk
from graphrec_pt.sampling.sample import Paths
from graphrec_pt.sampling.sampler import Sampler, sampler
from sections.graphs import Gathers, mapped, power_law
from sections.measure import Contestant, Row, Settings, contest
from sections.samplers import (
    dgl_bipartite,
    dgl_graph,
    import_dgl,
    import_torch_cluster,
    select,
    torch_walk,
)

LENGTH = 20
UNIT = "M steps/s"


def rows(settings: Settings) -> list[Row]:
    """Measure every kind of walk beside its peers."""
    nodes, edges = (20_000, 1_000_000) if settings.quick else (200_000, 20_000_000)
    walkers = 10_000 if settings.quick else 100_000
    csr = power_law(nodes, edges)
    name = f"{nodes // 1000} k nodes, {csr.num_edges / 1e6:.0f} M edges"
    found = _one_type(csr, name, walkers, settings)
    apart = power_law(nodes, edges, apart=True)
    found += _uniform(apart, f"{name}, popularity apart from degree", walkers, settings)
    found += _metapath(nodes, edges, name, walkers, settings)
    del csr, apart
    found += _samplers(walkers, settings)
    return found + _growth(walkers, settings)


def _roots(csr: SegmentedCSR, walkers: int) -> Tensor:
    return torch.randint(csr.num_nodes, (walkers,), generator=torch.Generator().manual_seed(0))


def _ours(csr: SegmentedCSR, roots: Tensor, **options: Any) -> int:
    _, position = walk(csr, roots, LENGTH, Key(0), **options)
    return position.numel()


def _samplers(walkers: int, settings: Settings) -> list[Row]:
    """Measure the public samplers beside their kernel, and beside a look-up of relations after it.

    A path holds the relation of every hop, which the kernel alone does not return.
    """
    sizes = (5_000, 2_000, 100_000) if settings.quick else (100_000, 50_000, 4_000_000)
    graph = synthetic_graph(*sizes)
    name = f"{graph.num_nodes() // 1000} k nodes, {graph.csr.num_edges / 1e6:.1f} M edges"
    roots = torch.arange(walkers) % graph.num_nodes("user") + graph.nodes("user").start
    found = []
    options: dict[str, dict[str, float]] = {"random_walk": {}, "node2vec": {"p": 2.0, "q": 0.5}}
    for which, kernel_options in options.items():
        chosen = sampler.build({"name": which, "hops": LENGTH, **kernel_options})

        def public(chosen: Sampler = chosen) -> int:
            paths = chosen.sample(graph, roots, Key(0))
            assert isinstance(paths, Paths)
            return paths.relations.numel()

        def looked_up(given: dict[str, float] = kernel_options) -> int:
            nodes, position = walk(
                graph.csr, roots, LENGTH, Key(0), p=given.get("p", 1.0), q=given.get("q", 1.0)
            )
            taken, table = position >= 0, graph.slot_relations
            relation = torch.full_like(position, -1)
            relation[taken] = torch_edge_relation(
                graph.csr, table, position[taken], nodes[:, :-1][taken]
            )
            return relation.numel()

        peers = [
            Contestant("kernel", partial(_ours, graph.csr, roots, **kernel_options)),
            Contestant("relations looked up after the walk", looked_up),
        ]
        found += contest(f"sampler {which}", name, UNIT, public, peers, settings)
    return found


def _uniform(csr: SegmentedCSR, name: str, walkers: int, settings: Settings) -> list[Row]:
    roots, dgl, cluster = _roots(csr, walkers), import_dgl(), import_torch_cluster()
    peers = [
        Contestant("two gathers", Gathers(csr, walkers * LENGTH), target=1.3),
        Contestant("torch", partial(torch_walk, csr, roots, LENGTH), target=4),
        Contestant("torch, index_select", partial(torch_walk, csr, roots, LENGTH, select)),
    ]
    if dgl is not None:
        run = partial(_dgl_walk, dgl, dgl_graph(dgl, csr), roots)
        peers.append(Contestant("dgl", run, target=10))
    if cluster is not None:
        run = partial(_cluster_walk, cluster, csr.segment, csr.indices.long(), roots)
        peers.append(Contestant("torch_cluster", run, target=8))
    return contest("uniform walk", name, UNIT, partial(_ours, csr, roots), peers, settings)


def _one_type(csr: SegmentedCSR, name: str, walkers: int, settings: Settings) -> list[Row]:
    found = _uniform(csr, name, walkers, settings)
    roots, dgl, cluster = _roots(csr, walkers), import_dgl(), import_torch_cluster()
    few = roots[: walkers // 200]  # these peers need seconds for thousands of walks
    graph = None if dgl is None else dgl_graph(dgl, csr)
    column = csr.indices.long()
    peers = []
    if dgl is not None:
        peers.append(Contestant("dgl", partial(_dgl_walk, dgl, graph, few, prob="w"), target=5))
    run = partial(_ours, csr, roots, weighted=True)
    found += contest("weighted walk", name, UNIT, run, peers, settings)
    for p, q in ((0.5, 2.0), (2.0, 0.5)):
        peers = []
        if dgl is not None:
            biased = partial(_dgl_node2vec, dgl, graph, few, p, q)
            peers.append(Contestant("dgl", biased, target=5))
        if cluster is not None:
            biased = partial(_cluster_walk, cluster, csr.segment, column, few, p, q)
            peers.append(Contestant("torch_cluster", biased, target=5))
        run = partial(_ours, csr, roots, p=p, q=q)
        found += contest(f"node2vec p={p} q={q}", name, UNIT, run, peers, settings)
    run = partial(_ours, csr, roots, restart=0.15)
    return found + contest("walk with restart", name, UNIT, run, [], settings)


def _dgl_walk(dgl: Any, graph: Any, roots: Tensor, **options: Any) -> int:
    trace, _ = dgl.sampling.random_walk(graph, roots, length=LENGTH, **options)
    return len(trace) * LENGTH


def _dgl_node2vec(dgl: Any, graph: Any, roots: Tensor, p: float, q: float) -> int:
    return len(dgl.sampling.node2vec_random_walk(graph, roots, p, q, LENGTH)) * LENGTH


def _cluster_walk(
    cluster: Any, ptr: Tensor, column: Tensor, roots: Tensor, p: float = 1.0, q: float = 1.0
) -> int:
    cluster.random_walk(ptr, column, roots, LENGTH, p, q)
    return len(roots) * LENGTH


def _metapath(nodes: int, edges: int, name: str, walkers: int, settings: Settings) -> list[Row]:
    csr = power_law(nodes, edges, relations=2, half=nodes // 2)
    roots = _roots(csr, walkers) % (nodes // 2)
    slots = torch.tensor([0, 1] * (LENGTH // 2))
    peers = [Contestant("two gathers", Gathers(csr, walkers * LENGTH), target=1.3)]
    dgl = import_dgl()
    if dgl is not None:
        graph = dgl_bipartite(dgl, csr)

        def dgl_walk() -> int:
            path = ["r0", "back1"] * (LENGTH // 2)
            trace, _ = dgl.sampling.random_walk(graph, roots, metapath=path)
            return len(trace) * LENGTH

        peers.append(Contestant("dgl", dgl_walk, target=10))
    run = partial(_ours, csr, roots, slots=slots)
    return contest("metapath walk", f"{name}, 2 × 2 relations", UNIT, run, peers, settings)


def _growth(walkers: int, settings: Settings) -> list[Row]:
    sizes = [1, 2] if settings.quick else [1, 5, 20, 50, 100]
    found = []
    for millions in sizes:
        csr = power_law(millions * 20_000, millions * 1_000_000)
        roots = _roots(csr, walkers)
        name = f"{millions * 20} k nodes, {millions} M edges"
        with TemporaryDirectory() as folder:
            if millions == sizes[-1]:
                csr, name = mapped(csr, Path(folder)), f"{name}, memory-mapped"
            peers = [Contestant("two gathers", Gathers(csr, walkers * LENGTH))]
            if millions == sizes[-1]:
                peers.append(Contestant("torch", partial(torch_walk, csr, roots, LENGTH), target=4))
            run = partial(_ours, csr, roots)
            found += contest("uniform walk, growth", name, UNIT, run, peers, settings)
            del csr, peers, run
    return found

"""Propagations over a whole graph beside torch-geometric's layers, measured in turn.

Usage: python benchmarks/gnn.py [--quick] [--threads N] [--rounds 7] [--out FILE.json]

One step is forward and backward to vectors and weights, width 64, one layer (two of LightGCN and
of the transition graph). Ratios are medians over rounds of two rates from the same round.
"""

import argparse
import json
import os
import platform
import warnings
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numba
import torch
from rich.console import Console
from rich.table import Table
from sections.measure import Contestant, Row, Settings, contest
from torch import Tensor, nn

import graphrec_pt.features  # noqa: F401  (registers the propagations)
from graphrec_pt.data.synthetic import synthetic_graph
from graphrec_pt.features.featurizer import Propagator, propagation
from graphrec_pt.features.seeded import seeded
from graphrec_pt.graph.derive import derive
from graphrec_pt.graph.graph import Graph
from graphrec_pt.graph.spec import GraphSpec

OUT = Path(__file__).parent / "results" / "gnn.json"
SIZES, QUICK = (22_363, 12_101, 198_502), (300, 200, 2_000)  # users, items, interactions
WIDTH, HEADS = 64, 4
COLUMNS = ("op", "graph", "unit", "ours", "peer", "theirs", "ratio")
Step = Callable[[], int]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--quick", action="store_true", help="a small graph, two rounds")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--out", type=Path, help=f"JSON file; {OUT.name} for a full run")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")  # peers deprecate things about themselves
    torch.set_num_threads(arguments.threads)
    numba.set_num_threads(arguments.threads)
    settings = Settings(arguments.quick, arguments.rounds or (2 if arguments.quick else 7))
    graph = derive(synthetic_graph(*(QUICK if arguments.quick else SIZES)), ["transition"])
    rows = _rows(graph, settings)
    table = Table(*COLUMNS, title="forward and backward")
    for row in rows:
        cells = (getattr(row, column) for column in COLUMNS)
        table.add_row(*(_cell(cell) for cell in cells))
    Console(width=140).print(table)
    out = arguments.out or (None if arguments.quick else OUT)
    if out:
        report = {
            "machine": {
                "cpu": platform.machine(),
                "threads": arguments.threads,
                "load": os.getloadavg()[0],
            },
            "torch": torch.__version__,
            "settings": asdict(settings),
            "graph": repr(graph),
            "rows": [asdict(row) for row in rows],
        }
        out.write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n")


def _cell(value: str | float | None) -> str:
    return value or "" if value is None or isinstance(value, str) else f"{value:,.2f}"


def _rows(graph: Graph, settings: Settings) -> list[Row]:
    name = f"{graph.num_nodes():,} nodes, {graph.num_edges():,} edges"
    sides: list[tuple[dict[str, Any], list[Contestant]]] = [
        ({"name": "lightgcn"}, _lightgcn(graph)),
        ({"name": "transition", "hops": 2}, _transition(graph)),
        ({"name": "rgcn"}, _rgcn(graph)),
        ({"name": "gat", "heads": HEADS}, _gat(graph)),
        ({"name": "hgt", "heads": HEADS}, _hgt(graph)),
        ({"name": "compgcn"}, []),
    ]
    rows = []
    for config, peers in sides:
        network = _network(config, graph)
        step = _step(network, network, graph)
        rows += contest(config["name"], name, "steps/s", step, peers, settings, scale=1)
    return rows


def _network(config: dict[str, Any], graph: Graph) -> Propagator:
    spec = GraphSpec.of(graph)
    network = seeded(lambda: propagation.build(config).build(spec, WIDTH), 0)
    network.attach_graph(graph)
    return network


def _step(module: nn.Module, run: Callable[[Tensor], Tensor], graph: Graph) -> Step:
    draw = torch.Generator().manual_seed(0)
    x = torch.randn(graph.num_nodes(), WIDTH, generator=draw).requires_grad_()
    probe = torch.randn(x.shape, generator=draw)
    weights = [x, *module.parameters()]

    def step() -> int:
        torch.autograd.grad((run(x) * probe).sum(), weights, allow_unused=True)
        return 1

    return step


def _edges(graph: Graph) -> tuple[Tensor, Tensor]:
    """Return the ends ``[2, E]`` and relation indices of all edges."""
    parts = [graph.edges(name) for name in graph.schema.relation_names]
    ends = torch.cat([torch.stack([each.source, each.target]) for each in parts], 1)
    sizes = torch.tensor([len(each.source) for each in parts])
    return ends, torch.arange(len(parts)).repeat_interleave(sizes)


def _lightgcn(graph: Graph) -> list[Contestant]:
    from torch_geometric.nn import LGConv
    from torch_geometric.nn.conv.gcn_conv import gcn_norm

    network = _network({"name": "lightgcn"}, graph)
    n = graph.num_nodes()
    ends, weight = gcn_norm(_edges(graph)[0], None, n, add_self_loops=False)
    conv = LGConv(normalize=False)

    def geometric(x: Tensor) -> Tensor:
        one: Tensor = conv(x, ends, weight)
        two: Tensor = conv(one, ends, weight)
        return (x + one + two) / 3

    return [
        Contestant("PyG LGConv, Â kept", _step(conv, geometric, graph)),
        Contestant("torch.sparse CSR", _step(conv, _sparse(network, n), graph)),
    ]


def _sparse(network: Propagator, n: int) -> Callable[[Tensor], Tensor]:
    names = ("ptr", "indices", "values")
    ptr, indices, values = (network.get_buffer(name) for name in names)
    matrix = torch.sparse_csr_tensor(ptr, indices.long(), values, (n, n))

    def product(x: Tensor) -> Tensor:
        one: Tensor = torch.sparse.mm(matrix, x)
        two: Tensor = torch.sparse.mm(matrix, one)
        return (x + one + two) / 3

    return product


def _transition(graph: Graph) -> list[Contestant]:
    from torch_geometric.nn import LGConv

    network = _network({"name": "transition"}, graph)
    ptr, indices = network.get_buffer("ptr"), network.get_buffer("indices")
    items = graph.nodes("item")
    row = torch.arange(len(items)).repeat_interleave(ptr.diff())
    ends, weight, conv = (
        torch.stack([indices.long(), row]),
        network.get_buffer("values"),
        LGConv(False),
    )

    def whole(mixed: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
        def run(x: Tensor) -> Tensor:
            own = x[items.start : items.stop]
            return torch.cat([x[: items.start], mixed(own), x[items.stop :]])

        return run

    def geometric(x: Tensor) -> Tensor:
        one: Tensor = conv(x, ends, weight)
        two: Tensor = conv(one, ends, weight)
        return (x + one + two) / 3

    return [
        Contestant("PyG LGConv, Â kept", _step(conv, whole(geometric), graph)),
        Contestant("torch.sparse CSR", _step(conv, whole(_sparse(network, len(items))), graph)),
    ]


def _rgcn(graph: Graph) -> list[Contestant]:
    from torch_geometric.nn import RGCNConv  # its fast variant copies a matrix for every edge

    ends, relation = _edges(graph)
    conv = RGCNConv(WIDTH, WIDTH, len(graph.schema.relations))
    run = partial(conv, edge_index=ends, edge_type=relation)
    return [Contestant("PyG RGCNConv", _step(conv, run, graph))]


def _gat(graph: Graph) -> list[Contestant]:
    from torch_geometric.nn import GATConv

    ends, conv = _edges(graph)[0], GATConv(WIDTH, WIDTH // HEADS, HEADS)
    return [Contestant("PyG GATConv", _step(conv, partial(conv, edge_index=ends), graph))]


def _hgt(graph: Graph) -> list[Contestant]:
    from torch_geometric.nn import HGTConv

    names, ends = list(graph.schema.node_names), {}
    for relation in graph.schema.relations:
        edges = graph.edges(relation.name)
        start = graph.nodes(relation.source).start, graph.nodes(relation.target).start
        local = torch.stack([edges.source - start[0], edges.target - start[1]])
        ends[relation.source, relation.name, relation.target] = local
    conv, counts = (
        HGTConv(WIDTH, WIDTH, (names, list(ends)), HEADS),
        [len(graph.nodes(n)) for n in names],
    )

    def run(x: Tensor) -> Tensor:
        out = conv(dict(zip(names, x.split_with_sizes(counts), strict=True)), ends)
        return torch.cat([out[name] for name in names])

    return [Contestant("PyG HGTConv", _step(conv, run, graph))]


if __name__ == "__main__":
    main()

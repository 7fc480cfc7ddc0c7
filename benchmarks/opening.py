"""What it costs to check a stored graph when it is opened.

Usage: python benchmarks/opening.py [--edges 20_000_000] [--rounds 5] [--out FILE.json]

A graph of that many stored edges (half of them inverses, with times) is generated and saved. Then
one process opens it as it was opened before there were checks (arrays mapped, nothing read), for
the first time with them, again, and with the comparison of the fingerprint. Files are in the
memory of the system (they were just written); times are medians over the rounds.
"""

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import polars as pl
from rich.console import Console
from rich.table import Table

from graphrec_pt.graph import store
from graphrec_pt.graph.assemble import EdgeList, assemble
from graphrec_pt.graph.graph import Graph
from graphrec_pt.graph.schema import NodeType, Relation, Schema


def generate(folder: Path, edges: int) -> None:
    """Save a graph of so many stored edges between users and items."""
    rng = np.random.default_rng(0)
    count = {"user": max(edges // 40, 10), "item": max(edges // 200, 10)}
    forward = Relation(
        name="buys", source="user", target="item", inverse="bought_by", timed=True, interaction=True
    )
    nodes = tuple(NodeType(name=name) for name in count)
    schema = Schema(nodes=nodes, relations=(forward, forward.inverted()))
    ends = [rng.integers(0, n, edges // 2) for n in count.values()]
    source, target = ends
    listed = EdgeList(source, target, rng.integers(0, 10**9, edges // 2))
    made = assemble(schema, list(count.values()), {"buys": listed})
    tables = {
        name: pl.DataFrame({"id": pl.int_range(n, eager=True).cast(pl.String)})
        for name, n in count.items()
    }
    store.save_graph(
        Graph(schema, made.csr, tables, {}, made.edge_offset, edge_ids=made.edge_ids), folder
    )


def measure(folder: Path, rounds: int) -> dict[str, float]:
    """Return the seconds of each way to open the graph."""
    names = [path.name for path in folder.glob("*.npy")]
    ways: dict[str, Callable[[], object]] = {
        "mapped, not checked (before)": lambda: [
            np.load(folder / name, mmap_mode="c") for name in names
        ],
        "first time in a process": lambda: _first(folder),
        "again": lambda: store.open_graph(folder),
        "with verify=True": lambda: store.open_graph(folder, verify=True),
    }
    found = {}
    for name, way in ways.items():
        way()
        found[name] = median(_seconds(way) for _ in range(rounds))
    return found


def _first(folder: Path) -> Graph:
    store.forget_checked()
    return store.open_graph(folder)


def _seconds(way: Callable[[], object]) -> float:
    begun = time.perf_counter()
    way()
    return time.perf_counter() - begun


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--edges", type=lambda text: int(text.replace("_", "")), default=20_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/opening.json"))
    arguments = parser.parse_args()
    with TemporaryDirectory() as scratch:
        folder = Path(scratch) / "graph"
        generate(folder, arguments.edges)
        size = sum(path.stat().st_size for path in folder.glob("*.npy"))
        found: dict[str, Any] = measure(folder, arguments.rounds)
    table = Table("", "seconds", "GB/s", title=f"{arguments.edges:,} edges, {size / 1e9:.2f} GB")
    for name, seconds in found.items():
        table.add_row(name, f"{seconds:.4f}", f"{size / seconds / 1e9:.1f}")
    Console().print(table)
    record = {"edges": arguments.edges, "bytes": size, "seconds": found}
    arguments.out.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()

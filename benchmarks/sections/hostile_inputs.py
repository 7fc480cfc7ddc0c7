"""Damaged raw files and odd objects of other libraries."""

import bz2
import gzip
import json
import lzma
import random
import warnings
import zipfile
from pathlib import Path
from typing import Any

import networkx
import numpy as np
import torch

from graphrec_pt import GraphRecError, Key
from graphrec_pt.data.build import build_card
from graphrec_pt.data.card import Card
from graphrec_pt.data.convert.pyg import from_pyg
from graphrec_pt.data.synthetic import synthetic_tables
from graphrec_pt.graph.assemble import fingerprint
from sections.mutations import BYTES

ENDINGS = ("csv", "csv.gz", "csv.bz2", "csv.xz", "zip", "parquet", "jsonl", "arrow", "ndjson")
READERS = ("json_maps", "simplices", "sequences", "line_lists")


def shop_card(file: str, **table: Any) -> Card:
    """Return a card whose interactions are in a file."""
    content = {
        "name": "shop",
        "title": "Shop",
        "licence": {"name": "none"},
        "tables": {"t": {"file": file, **table}},
        "nodes": {"user": {}, "item": {}},
        "edges": {
            "rates": {
                "table": "t",
                "source": "user.user",
                "target": "item.item",
                "time": "time",
                "weight": "rating",
                "interaction": True,
            }
        },
    }
    return Card.checked(content, "card")


class Raw:
    """Raw files of a card: built."""

    def prepare(self, base: Path) -> None:
        """Write a table in every format."""
        base.mkdir(parents=True, exist_ok=True)
        _, tables = synthetic_tables(30, 20, 200, clusters=2, key=Key(0))
        rows = tables["interactions"].select("user", "item", "rating", "time")
        text = rows.write_csv().encode()
        (base / "t.csv").write_bytes(text)
        for ending, pack in (("gz", gzip.compress), ("bz2", bz2.compress), ("xz", lzma.compress)):
            (base / f"t.csv.{ending}").write_bytes(pack(text))
        with zipfile.ZipFile(base / "t.zip", "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("t.csv", text)
        rows.write_parquet(base / "t.parquet")
        rows.write_ipc(base / "t.arrow")
        lines = "".join(json.dumps(row) + "\n" for row in rows.iter_rows(named=True))
        (base / "t.jsonl").write_text(lines)
        (base / "t.ndjson").write_text(lines)

    def damage(self, base: Path, place: Path, draw: random.Random) -> tuple[str, bool]:
        """Write a damaged file in a folder of its own."""
        place.mkdir()
        ending = draw.choice(ENDINGS)
        raw = (base / f"t.{ending}").read_bytes()
        for _ in range(draw.choice([1, 1, 1, 3])):
            mutate = draw.choice(BYTES)
            raw = mutate(raw, draw)
        (place / f"t.{ending}").write_bytes(raw)
        return f"{mutate.__name__} in t.{ending}", True

    def ask(self, place: Path) -> Any:
        """Build the graph."""
        (file,) = place.iterdir()
        inside = "t.csv" if file.name in ("t.zip", "t.csv.gz", "t.csv.bz2", "t.csv.xz") else None
        types = {} if file.suffix in (".parquet", ".arrow") else {"rating": "float", "time": "int"}
        graph = build_card(shop_card(inside or file.name, types=types), place)
        return fingerprint(graph)


class Objects:
    """PyG, DGL and networkx objects of odd shapes: converted."""

    def prepare(self, base: Path) -> None:
        """Import PyG, which warns of its own compiler; otherwise need nothing."""
        base.mkdir(parents=True, exist_ok=True)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import torch_geometric.data  # noqa: F401

    def damage(self, base: Path, place: Path, draw: random.Random) -> tuple[str, bool]:
        """Write down which object it is."""
        place.mkdir()
        seed = draw.randrange(10**9)
        kind = draw.choice(["hetero", "hetero", "hetero", "data", "networkx", "dgl"])
        (place / "object.json").write_text(json.dumps([kind, seed]))
        return f"{kind} {seed}", True

    def ask(self, place: Path) -> Any:
        """Make the object and convert it."""
        kind, seed = json.loads((place / "object.json").read_text())
        draw = random.Random(seed)
        if kind == "networkx":
            return _networkx(draw)
        if kind == "dgl":
            return _dgl(draw)
        data = _hetero(draw) if kind == "hetero" else _data(draw)
        return fingerprint(from_pyg(data, interactions=draw.choice([(), ("buys",), ("nothing",)])))


def _hetero(draw: random.Random) -> Any:
    from torch_geometric.data import HeteroData

    data = HeteroData()
    names = draw.sample(["user", "item", "a/b", "", "x" * 300, "\x1b[31m", "node type"], 2)
    if draw.random() < 0.7:
        names = ["user", "item"]
    count = [draw.choice([0, 1, 5, 20]) for _ in names]
    for name, n in zip(names, count, strict=True):
        if draw.random() < 0.8:
            data[name].num_nodes = draw.choice([n, n, n, -1, 3])
        if draw.random() < 0.5:
            data[name][draw.choice(["x", "id", "time", "y", "train_mask", "name"])] = _values(
                draw, n
            )
    for _ in range(draw.choice([0, 1, 1, 2])):
        source, target = draw.choice(names), draw.choice(names)
        relation = draw.choice(["buys", "rev_buys", "to", "", "a/b"])
        edges = draw.choice([0, 1, 7])
        store = data[source, relation, target]
        store.edge_index = _edge_index(draw, edges, max(count))
        for key in draw.sample(["time", "edge_weight", "edge_attr", "edge_label", "y"], 2):
            if draw.random() < 0.4:
                store[key] = _values(draw, edges)
    return data


def _edge_index(draw: random.Random, edges: int, nodes: int) -> Any:
    shape = draw.choice([(2, edges)] * 6 + [(edges,), (3, edges), (0,), (edges, 2)])
    low, high = draw.choice([(0, max(nodes, 1))] * 5 + [(-2, 3), (10**6, 10**9)])
    found = torch.randint(low, high, shape, generator=torch.Generator().manual_seed(1))
    kinds = [torch.int64] * 6 + [torch.int32, torch.float32, torch.bool, torch.uint8]
    return draw.choice(
        [found.to(draw.choice(kinds))] * 8 + [None, found.tolist(), found.to_sparse()]
    )


def _values(draw: random.Random, n: int) -> Any:
    options: list[Any] = [
        torch.arange(n),
        torch.rand(n),
        torch.rand(n, 3),
        torch.rand(n, 0),
        torch.rand(n, 2, 2),
        torch.full((n,), float("nan")),
        torch.full((n,), float("inf")),
        torch.rand(n) > 0.5,
        torch.rand(n, dtype=torch.float16),
        torch.rand(n, dtype=torch.complex64),
        torch.arange(n + 1),
        torch.tensor(3),
        [f"n{i}" for i in range(n)],
        [None] * n,
        ["same"] * n,
        [object()] * n,
        np.arange(n),
        np.array([f"t{i}" for i in range(n)], dtype=object),
        "text",
        None,
        {"a": 1},
        2**70,
        torch.rand(n).to_sparse(),
    ]
    return draw.choice(options)


def _data(draw: random.Random) -> Any:
    from torch_geometric.data import Data

    n, edges = draw.choice([0, 1, 9]), draw.choice([0, 1, 7])
    data = Data(edge_index=_edge_index(draw, edges, n))
    for key in ("x", "y", "time", "edge_attr", "edge_weight", "num_nodes", "id"):
        if draw.random() < 0.3:
            data[key] = _values(draw, n)
    return data


def _networkx(draw: random.Random) -> Any:
    """Convert a graph to networkx and read odd ones as PyG does."""
    from torch_geometric.utils import from_networkx

    graph = networkx.gnm_random_graph(draw.choice([0, 1, 8]), draw.choice([0, 1, 12]), seed=1)
    for node in graph.nodes:
        if draw.random() < 0.9:
            graph.nodes[node]["name"] = draw.choice(["a", "\x1b", 3, 2.5])
    try:
        data = from_networkx(graph)
    except Exception as error:  # networkx or PyG refuses it before us
        raise GraphRecError("networkx", "a graph that PyG reads", type(error).__name__) from error
    return fingerprint(from_pyg(data))


def _dgl(draw: random.Random) -> Any:
    from graphrec_pt.data.convert.dgl import from_dgl, import_dgl

    dgl = import_dgl()
    nodes, edges = draw.choice([1, 5, 20]), draw.choice([0, 1, 7])
    ends = [torch.randint(0, nodes, (edges,)) for _ in range(2)]
    kind = (draw.choice(["user", "a/b", ""]), draw.choice(["buys", "a/b", ""]), "item")
    data = dgl.heterograph({kind: tuple(ends)}, {kind[0]: nodes, "item": nodes})
    for _ in range(draw.choice([0, 1, 2])):
        value = _values(draw, edges if draw.random() < 0.5 else nodes)
        key = draw.choice(["time", "edge_weight", "id", "x"])
        try:
            (data.edata if draw.random() < 0.5 else data.nodes["item"].data)[key] = value
        except Exception as error:  # DGL refuses it before us
            raise GraphRecError("dgl", "a value that DGL takes", type(error).__name__) from error
    return fingerprint(from_dgl(data))

"""A graph on disk: a folder of JSON, memory-mapped ``.npy`` and Arrow files; never pickle.

::

    graph.json            schema, counts, provenance, fingerprint, format version
    <array>.npy           offset, slots, base, segment, indices, time, weight, edge
    nodes/<type>.arrow    raw ids and columns, row n = node n of the type
    edges/<relation>.arrow extra edge columns, row n = edge id n of the relation
"""

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields, replace
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import numpy as np
import polars as pl
import torch

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.graph.fingerprint import fingerprint
from graphrec_pt.graph.graph import Graph
from graphrec_pt.graph.schema import Schema
from graphrec_pt.kernels.csr import SegmentedCSR

FORMAT = 1


@contextmanager
def finished_folder(folder: Path) -> Iterator[Path]:
    """Yield a temporary folder that takes the place of `folder` only when the block succeeds.

    A crash, a full disk or a kill leaves nothing at `folder`, or what was there before.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        yield scratch
        scratch.chmod(0o755)
        if folder.exists():
            old = Path(mkdtemp(prefix=f".{folder.name}.old.", dir=folder.parent))
            folder.rename(old / folder.name)
            scratch.rename(folder)
            shutil.rmtree(old, ignore_errors=True)
        else:
            scratch.rename(folder)
    except OSError as error:
        raise GraphRecError(
            str(folder), "a folder that can be written", error, "freeing space or another --out"
        ) from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def save_graph(graph: Graph, folder: str | Path) -> Graph:
    """Write a graph to a folder, all or nothing, and return it opened from there.

    Raises:
        GraphRecError: When the folder holds something that is not a graph, or cannot be written.
    """
    folder = Path(folder)
    if folder.exists() and not (folder / "graph.json").exists() and not _empty(folder):
        raise GraphRecError(
            str(folder), "a new folder or a saved graph", "other files", "another folder"
        )
    if not graph.fingerprint:
        graph = replace(graph, fingerprint=fingerprint(graph))
    with finished_folder(folder) as scratch:
        for name, array in _arrays(graph):
            np.save(scratch / f"{name}.npy", array.numpy())
        for kind, tables in (("nodes", graph.tables), ("edges", graph.edge_tables)):
            (scratch / kind).mkdir()
            for name, table in tables.items():
                table.write_ipc(scratch / kind / f"{name}.arrow")
        (scratch / "graph.json").write_text(json.dumps(_header(graph), indent=1))
    return open_graph(folder)


def open_graph(folder: str | Path) -> Graph:
    """Open a saved graph; arrays and tables are memory-mapped, so the size does not matter.

    Raises:
        GraphRecError: When the folder holds no graph, or one of another format.
    """
    folder = Path(folder)
    header = _read_header(folder)
    try:
        arrays: dict[str, Any] = {n: _mapped(folder / f"{n}.npy") for n in header["arrays"]}
        csr = SegmentedCSR(**arrays)
        schema = Schema.model_validate(header["schema"])
        return Graph(
            schema,
            csr,
            _StoredTables(folder / "nodes", schema.node_names),
            _StoredTables(folder / "edges", header["edge_tables"]),
            header["edge_offset"],
            header["fingerprint"],
            header["provenance"],
            folder,
            header["edge_ids"],
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise GraphRecError(str(folder), "a complete graph", error, "building it again") from error


def _empty(folder: Path) -> bool:
    return folder.is_dir() and not any(folder.iterdir())


def _read_header(folder: Path) -> dict[str, Any]:
    path = folder / "graph.json"
    try:
        header = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        raise GraphRecError(
            str(folder), "a saved graph (graph.json)", "none", "`graphrec data build NAME`"
        ) from None
    except ValueError as error:
        raise GraphRecError(str(path), "JSON", error, "building it again") from error
    version = header.get("format") if isinstance(header, dict) else type(header).__name__
    if version != FORMAT:
        raise GraphRecError(str(path), f"graph format {FORMAT}", version, "building it again")
    return dict(header)


def _header(graph: Graph) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "fingerprint": graph.fingerprint,
        "nodes": {n: graph.num_nodes(n) for n in graph.schema.node_names},
        "edges": {r.name: graph.num_edges(r.name) for r in graph.schema.relations},
        "schema": graph.schema.model_dump(mode="json"),
        "arrays": [name for name, _ in _arrays(graph)],
        "edge_tables": list(graph.edge_tables),
        "edge_offset": dict(graph.edge_offset),
        "edge_ids": graph.num_edge_ids,
        "provenance": dict(graph.provenance),
    }


def _arrays(graph: Graph) -> list[tuple[str, torch.Tensor]]:
    every = [(field.name, getattr(graph.csr, field.name)) for field in fields(graph.csr)]
    return [(name, array) for name, array in every if array is not None]


def _mapped(path: Path) -> torch.Tensor:
    # Copy-on-write: shared with every reader of the file, and torch sees a writable array.
    array = np.load(path, mmap_mode="c") if path.stat().st_size > 4096 else np.load(path)
    return torch.from_numpy(array)


class _StoredTables(Mapping[str, pl.DataFrame]):
    """Arrow files of a folder, each read when it is first asked for."""

    def __init__(self, folder: Path, names: Sequence[str]) -> None:
        self._folder, self._names = folder, tuple(names)
        self._read: dict[str, pl.DataFrame] = {}

    def __getitem__(self, name: str) -> pl.DataFrame:
        if name not in self._names:
            raise KeyError(name)
        if name not in self._read:
            path = self._folder / f"{name}.arrow"
            try:
                self._read[name] = pl.read_ipc(path)
            except (OSError, pl.exceptions.PolarsError) as error:
                raise GraphRecError(str(path), "an Arrow file", error, "building again") from error
        return self._read[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

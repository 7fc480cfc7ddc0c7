"""A graph on disk: a folder of JSON, memory-mapped ``.npy`` and Arrow files; never pickle.

::

    graph.json            schema, counts, provenance, fingerprint, format version
    <array>.npy           offset, slots, base, segment, indices, time, weight, edge
    nodes/<type>.arrow    raw ids and columns, row n = node n of the type
    edges/<relation>.arrow extra edge columns, row n = edge id n of the relation
"""

import copyreg
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.core.scratch import finished_folder
from graphrec_pt.graph.fingerprint import fingerprint
from graphrec_pt.graph.graph import Graph
from graphrec_pt.graph.schema import Schema
from graphrec_pt.kernels.csr import SegmentedCSR

FORMAT = 1


def new_folder(out: str | Path) -> Path:
    """Return a path where nothing stands yet.

    Raises:
        GraphRecError: When something does.
    """
    out = Path(out)
    if out.exists():
        raise GraphRecError(str(out), "a new folder", "one that is there", "another --out")
    return out


def check_target(folder: Path) -> None:
    """Refuse to put a graph where something else lies.

    Raises:
        GraphRecError: When the folder holds something that is not a graph, or is a file.
    """
    if folder.exists() and not (folder / "graph.json").exists() and not _empty(folder):
        got = "other files" if folder.is_dir() else "a file"
        raise GraphRecError(str(folder), "a new folder or a saved graph", got, "another folder")


def save_graph(graph: Graph, folder: str | Path) -> Graph:
    """Write a graph to a folder, all or nothing, and return it opened from there.

    Raises:
        GraphRecError: When the folder holds something that is not a graph, or cannot be written.
    """
    folder = Path(folder)
    check_target(folder)
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
            _StoredTables(folder, "nodes", schema.node_names, header["fingerprint"]),
            _StoredTables(folder, "edges", header["edge_tables"], header["fingerprint"]),
            header["edge_offset"],
            header["fingerprint"],
            header["provenance"],
            folder,
            header["edge_ids"],
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise GraphRecError(str(folder), "a complete graph", error, "building it again") from error


def check_unchanged(folder: Path, fingerprint: str) -> None:
    """Refuse a folder that was built anew since a graph was opened from it."""
    if (now := _read_header(folder)["fingerprint"]) != fingerprint:
        raise GraphRecError(
            str(folder),
            f"the graph {fingerprint[:12]} opened from it",
            now[:12],
            "opening it again",
        )


def reopen_graph(folder: str, fingerprint: str) -> Graph:
    """Open a graph that another process has open."""
    check_unchanged(Path(folder), fingerprint)
    return open_graph(folder)


def _reduced(graph: Graph) -> str | tuple[Any, ...]:
    """Return how a graph is pickled: a stored one as its folder, whose files others map too."""
    if graph.folder is None:
        return graph.__reduce_ex__(4)
    return reopen_graph, (str(graph.folder.resolve()), graph.fingerprint)


copyreg.pickle(Graph, _reduced)


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
    """Arrow files of a graph, each read when it is first asked for."""

    def __init__(self, folder: Path, kind: str, names: Sequence[str], fingerprint: str) -> None:
        self._folder, self._kind, self._names = folder, kind, tuple(names)
        self._fingerprint = fingerprint
        self._read: dict[str, pl.DataFrame] = {}

    def __getitem__(self, name: str) -> pl.DataFrame:
        if name not in self._names:
            raise KeyError(name)
        if name not in self._read:
            path = self._folder / self._kind / f"{name}.arrow"
            try:
                table = pl.read_ipc(path)
            except (OSError, pl.exceptions.PolarsError) as error:
                raise GraphRecError(str(path), "an Arrow file", error, "building again") from error
            check_unchanged(self._folder, self._fingerprint)  # after reading: it was this graph's
            self._read[name] = table
        return self._read[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

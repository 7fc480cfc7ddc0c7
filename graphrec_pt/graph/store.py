"""A graph on disk: a folder of JSON, memory-mapped ``.npy`` and Arrow files; never pickle.

::

    graph.json            schema, counts, provenance, fingerprint, format version, checksums
    <array>.npy           offset, slots, base, segment, indices, time, weight, edge
    nodes/<type>.arrow    raw ids and columns, row n = node n of the type
    edges/<relation>.arrow extra edge columns, row n = edge id n of the relation

Opening a folder checks types, lengths, ascending offsets, the range of every number and the
checksum of every file, so that no number can lead a kernel outside of an array. A process remembers
the size, time and inode of the files that it has checked, and opens them again without reading
them. It keeps this in memory only: a record in the folder could be forged with the rest, and a
record elsewhere would be hidden from the user. Checksums detect damage; a forger can write them
too, so `verify` compares the content with a fingerprint from another source.
"""

import copyreg
import json
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from hashlib import blake2b
from importlib import import_module
from pathlib import Path
from tokenize import TokenError
from typing import Any

import numpy as np
import torch

from graphrec_pt.core.documents import digest_of
from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.core.scratch import finished_folder
from graphrec_pt.graph.assemble import fingerprint
from graphrec_pt.graph.graph import Graph
from graphrec_pt.graph.stored_tables import (
    FORMAT,
    NAME,
    Header,
    StoredTables,
    TableCheck,
    check_file,
    check_names,
    check_unchanged,
    checksum_of,
    read_header,
)
from graphrec_pt.kernels.csr import SegmentedCSR


def new_folder(out: str | Path) -> Path:
    """Return a path that does not exist yet.

    Raises:
        GraphRecError: When it exists.
    """
    out = Path(out)
    if out.exists():
        raise GraphRecError(str(out), "a new folder", "one that is there", "another --out")
    return out


def check_target(folder: Path) -> None:
    """Refuse to save a graph over something that is not a graph.

    Raises:
        GraphRecError: When the folder holds something that is not a graph, or is a file.
    """
    if folder.exists() and not (folder / "graph.json").exists() and not _empty(folder):
        got = "other files" if folder.is_dir() else "a file"
        raise GraphRecError(str(folder), "a new folder or a saved graph", got, "another folder")


def save_graph(graph: Graph, folder: str | Path) -> Graph:
    """Write a graph to a folder, all or nothing, and return it opened from there.

    Raises:
        GraphRecError: When the folder holds something that is not a graph, or cannot be written;
            for arrays that do not fit together and names that no file can have.
    """
    folder = Path(folder)
    check_target(folder)
    check_names(graph.schema)
    _check_arrays(str(folder), graph)
    if not graph.fingerprint:
        graph = replace(graph, fingerprint=fingerprint(graph))
    with finished_folder(folder) as scratch:
        for name, array in _arrays(graph):
            np.save(scratch / f"{name}.npy", array.numpy())
        for kind, tables in (("nodes", graph.tables), ("edges", graph.edge_tables)):
            (scratch / kind).mkdir()
            for name, table in tables.items():
                table.write_ipc(scratch / kind / f"{name}.arrow")
        header = _header(graph)
        header["checksums"] = {name: checksum_of(scratch / name) for name in _files(header)}
        header["digest"] = digest_of(header)
        (scratch / NAME).write_text(json.dumps(header, indent=1))
    return open_graph(folder)


def open_graph(folder: str | Path, *, verify: bool = False) -> Graph:
    """Open a saved graph; arrays and tables are memory-mapped, so the size does not matter.

    A process checks the arrays when it opens them for the first time, some 0.3 s per GB in memory,
    and the tables when it first reads them.

    Args:
        folder: Folder of the graph.
        verify: Compare the content with the fingerprint in the folder, which takes some seconds
            per GB: for a folder that somebody else may have changed, whose fingerprint you know
            from another source.

    Raises:
        GraphRecError: When the folder holds no graph, one of another format, or one that is
            damaged.

    Example:
        >>> saved = save_graph(checkerboard(10), "graphs/checkerboard")
        >>> open_graph("graphs/checkerboard", verify=True).num_nodes("user")
        10
    """
    folder = Path(folder)
    header = read_header(folder)
    try:
        csr = SegmentedCSR(**_mapped_arrays(folder, header))
        check = TableCheck(folder, header, csr)
        graph = Graph(
            header.schema,
            csr,
            StoredTables(folder, "nodes", header.schema.node_names, check),
            StoredTables(folder, "edges", header.edge_tables, check),
            header.edge_offset,
            header.fingerprint,
            header.provenance,
            folder,
            header.edge_ids,
        )
        _check_once(folder, header, graph)
    except (OSError, ValueError, KeyError, TypeError) as error:
        if isinstance(error, GraphRecError):
            raise
        raise GraphRecError(str(folder), "a complete graph", error, "building it again") from error
    if verify and (digest := fingerprint(graph)) != graph.fingerprint:
        expected = f"the content of fingerprint {graph.fingerprint[:12]}"
        raise GraphRecError(str(folder), expected, digest[:12], "another copy of the graph")
    return graph


def reopen_graph(folder: str, fingerprint: str, checked: "str | None" = None) -> Graph:
    """Open a graph that another process has open.

    Args:
        folder: Folder of the graph.
        fingerprint: Fingerprint of the content.
        checked: The files that the other process has checked; they are not checked again.
    """
    path = Path(folder)
    check_unchanged(path, fingerprint)
    if checked is not None:
        _checked[str(path.resolve())] = checked
    return open_graph(path)


def forget_checked() -> None:
    """Check every graph anew when it is opened next."""
    _checked.clear()


_checked: dict[str, str] = {}
"""Folder → digest of name, size, time of change, inode and device of each file checked there."""


def _reduced(graph: Graph) -> str | tuple[Any, ...]:
    """Return how a graph is pickled: a stored one as its folder, whose files others map too."""
    if graph.folder is None or graph.device.type != "cpu":
        return graph.__reduce_ex__(4)
    folder = str(graph.folder.resolve())
    return reopen_graph, (folder, graph.fingerprint, _checked.get(folder))


copyreg.pickle(Graph, _reduced)


def _empty(folder: Path) -> bool:
    return folder.is_dir() and not any(folder.iterdir())


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


_NO_HEADER = (ValueError, TypeError, SyntaxError, RecursionError, MemoryError, TokenError)
"""Errors that numpy raises for a damaged header, which it parses as a Python expression."""
_LONG, _SHORT = np.dtype(np.int64), np.dtype(np.int32)
_TYPES = {
    **dict.fromkeys(("offset", "slots", "base", "segment"), (_LONG,)),
    "indices": (_SHORT, _LONG),
    "time": (_LONG,),
    "weight": (np.dtype(np.float32),),
    "edge": (_SHORT, _LONG),
}


def _files(header: Mapping[str, Any]) -> list[str]:
    """Return the names of the files that a header lists."""
    nodes = [node["name"] for node in header["schema"]["nodes"]]
    arrays = [f"{name}.npy" for name in header["arrays"]]
    tables = [f"nodes/{name}.arrow" for name in nodes]
    return [*arrays, *tables, *(f"edges/{name}.arrow" for name in header["edge_tables"])]


def _mapped_arrays(folder: Path, header: Header) -> dict[str, Any]:
    """Return the memory-mapped arrays of a graph after a check of their types and lengths."""
    arrays: dict[str, Any] = {name: _mapped(folder, name) for name in header.arrays}
    edges = sum(header.edges.values())
    for name in ("indices", "time", "weight", "edge"):
        if name in arrays and len(arrays[name]) != edges:
            who, got = str(folder / f"{name}.npy"), len(arrays[name])
            raise GraphRecError(who, f"{edges} numbers", got, "building it again")
    return arrays


def _mapped(folder: Path, name: str) -> torch.Tensor:
    path = folder / f"{name}.npy"
    if not path.is_file():
        raise GraphRecError(str(path), "an array of the graph", "none", "building it again")
    with path.open("rb") as file:
        try:
            if np.lib.format.read_magic(file) != (1, 0):
                raise ValueError("another version of the format")
            shape, fortran, dtype = np.lib.format.read_array_header_1_0(file)
        except _NO_HEADER as error:
            raise GraphRecError(str(path), "an .npy file", error, "building it again") from error
        start, size = file.tell(), path.stat().st_size
    form = f"{dtype} {shape}"
    if len(shape) != 1 or dtype not in _TYPES[name] or fortran not in (False, True):
        expected = f"{' or '.join(map(str, _TYPES[name]))} of one dimension"
        raise GraphRecError(str(path), expected, form, "building it again")
    if size != start + shape[0] * dtype.itemsize or start % 16:
        raise GraphRecError(str(path), f"{form} in {size} bytes", "another size", "building again")
    # Copy-on-write: shared with every reader of the file, and torch sees a writable array.
    large = size > 4096
    return torch.from_numpy(np.load(path, mmap_mode="c") if large else np.load(path))


def _check_once(folder: Path, header: Header, graph: Graph) -> None:
    """Check the arrays of a folder, unless this process has checked the same files."""
    names = [NAME, *(f"{name}.npy" for name in header.arrays)]
    key, identity = str(folder.resolve()), _identity(folder, names)
    if _checked.get(key) == identity:
        return
    for name in header.arrays:
        check_file(folder, f"{name}.npy", header)
    _check_arrays(str(folder), graph)
    counts = {name: graph.num_nodes(name) for name in header.schema.node_names}
    edges = {r.name: graph.num_edges(r.name) for r in header.schema.relations}
    if (counts, edges) != (header.nodes, header.edges):
        raise GraphRecError(str(folder), "as many nodes and edges as graph.json says", "others")
    _checked[key] = identity


def _identity(folder: Path, names: Sequence[str]) -> str:
    """Return what tells files from changed ones; short, as workers receive it with the graph."""
    stats = [(name, (folder / name).stat()) for name in names]
    facts = [(n, s.st_size, s.st_mtime_ns, s.st_ino, s.st_dev) for n, s in stats]
    return blake2b(repr(facts).encode(), digest_size=16).hexdigest()


def _check_arrays(who: str, graph: Graph) -> None:
    """Raise for arrays of a graph that would let a kernel leave an array."""
    integrity = import_module("graphrec_pt.graph.integrity")  # compiled code, loaded when needed
    given = graph.schema, graph.csr, dict(graph.edge_offset), graph.num_edge_ids
    if (problem := integrity.problem_of(*given)) is not None:
        who, hint = f"{who}: {problem.array}", "building it again"
        raise GraphRecError(who, problem.expected, problem.got, hint)

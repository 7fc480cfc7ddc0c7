"""Tables on disk, checked before they are used: Arrow files with a header, and Parquet files."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
from pyarrow import parquet

from graphrec_pt.core.documents import digest_of, read_json_object
from graphrec_pt.core.errors import GraphRecError, raise_all
from graphrec_pt.graph.graph import RAW_ID
from graphrec_pt.graph.schema import Schema
from graphrec_pt.kernels.csr import SegmentedCSR

FORMAT = 1
NAME = "graph.json"
REQUIRED = ("offset", "slots", "base", "segment", "indices")
OPTIONAL = ("time", "weight", "edge")
MOST = 2**48
"""Upper limit of the numbers of nodes, edges and ids, so that no sum of them overflows."""


@dataclass(frozen=True)
class Header:
    """The content of ``graph.json`` with checked types; see :mod:`graphrec_pt.graph.store`."""

    schema: Schema
    fingerprint: str
    nodes: dict[str, int]
    edges: dict[str, int]
    arrays: tuple[str, ...]
    edge_tables: tuple[str, ...]
    edge_offset: dict[str, int]
    edge_ids: int
    provenance: dict[str, Any]
    checksums: dict[str, str]
    digest: str


def read_header(folder: Path) -> Header:
    """Return the header of a saved graph.

    Raises:
        GraphRecError: When there is no header, or it is damaged or of another format.
    """
    path, again = folder / NAME, "building it again"
    try:
        content = read_json_object(path, again)
    except (FileNotFoundError, NotADirectoryError):
        raise GraphRecError(
            str(folder), "a saved graph (graph.json)", "none", "`graphrec data build NAME`"
        ) from None
    except OSError as error:
        raise GraphRecError(str(path), "a file that can be read", error, again) from error
    if content.get("format") != FORMAT:
        raise GraphRecError(str(path), f"graph format {FORMAT}", content.get("format"), again)
    digest = content.pop("digest", "")
    if digest and digest != digest_of(content):
        raise GraphRecError(str(path), "the content that was saved", "another", again)
    shapes: dict[str, Callable[[Any], bool]] = {
        "fingerprint": lambda value: isinstance(value, str),
        "nodes": _counts,
        "edges": _counts,
        "arrays": lambda value: (
            _names(value) and set(REQUIRED) <= set(value) <= {*REQUIRED, *OPTIONAL}
        ),
        "edge_tables": _names,
        "edge_offset": _counts,
        "edge_ids": lambda value: isinstance(value, int) and 0 <= value < MOST,
        "provenance": lambda value: isinstance(value, dict),
        "checksums": lambda value: isinstance(value, dict),
    }
    content.setdefault("checksums", {})  # absent from graphs of an older format
    for name, right in shapes.items():
        if not right(content.get(name)):
            raise GraphRecError(f"{path} {name}", "what was saved", repr(content.get(name)), again)
    if unknown := content.keys() - shapes.keys() - {"format", "schema"}:
        raise GraphRecError(str(path), "what was saved", f"also {min(unknown)!r}", again)
    schema = Schema.checked(content.get("schema"), f"{path} schema")
    check_names(schema)
    forward = [r.name for r in schema.relations if not r.backward]
    if unknown := {*content["edge_offset"], *content["edge_tables"]} - set(forward):
        raise GraphRecError(str(path), "relations of the graph", repr(min(unknown)), again)
    return Header(
        schema=schema,
        fingerprint=content["fingerprint"],
        nodes=content["nodes"],
        edges=content["edges"],
        arrays=tuple(content["arrays"]),
        edge_tables=tuple(content["edge_tables"]),
        edge_offset=content["edge_offset"],
        edge_ids=content["edge_ids"],
        provenance=content["provenance"],
        checksums=content["checksums"],
        digest=digest,
    )


def _counts(value: object) -> bool:
    """Say whether a value maps names to counts."""
    return isinstance(value, dict) and all(
        isinstance(n, int) and not isinstance(n, bool) and 0 <= n < MOST for n in value.values()
    )


def _names(value: object) -> bool:
    """Say whether a value is a list of different names."""
    return (
        isinstance(value, list)
        and all(isinstance(name, str) for name in value)
        and len(set(value)) == len(value)
    )


def check_names(schema: Schema) -> None:
    """Raise for names that occur twice, that a file cannot have, or that the schema lacks."""
    errors = []
    for what, names in (("node type", schema.node_names), ("relation", schema.relation_names)):
        for name in dict.fromkeys(names):
            if names.count(name) > 1:
                errors.append(GraphRecError(what, "a name of its own", f"{name!r} twice"))
            if not name.strip(". ") or set(name) & set("/\\\0") or len(name.encode()) > 200:
                expected = "a name that a file can have"
                errors.append(GraphRecError(what, expected, repr(name), "one without slashes"))
    for relation in schema.relations:
        who, partner = f"relation {relation.name!r}", relation.inverse
        for end in (relation.source, relation.target):
            if end not in schema.node_names:
                errors.append(GraphRecError(who, "a node type", repr(end)))
        if (relation.backward or partner is not None) and partner not in schema.relation_names:
            errors.append(GraphRecError(who, "an inverse that is a relation", repr(partner)))
    raise_all(errors)


def check_unchanged(folder: Path, fingerprint: str) -> None:
    """Refuse a folder that was built anew since a graph was opened from it."""
    if (now := read_header(folder).fingerprint) != fingerprint:
        raise GraphRecError(
            str(folder),
            f"the graph {fingerprint[:12]} opened from it",
            now[:12],
            "opening it again",
        )


def check_file(folder: Path, name: str, header: Header) -> None:
    """Raise when a file of a graph is not the one that was saved."""
    if header.checksums and header.checksums.get(name) != checksum_of(folder / name):
        who = str(folder / name)
        raise GraphRecError(who, "the file that was saved", "another", "building it again")


def checksum_of(path: Path) -> str:
    """Return the checksum of a file; see :func:`graphrec_pt.graph.integrity.checksum`."""
    content = np.memmap(path, np.uint8, "r") if path.stat().st_size else np.zeros(0, np.uint8)
    return str(import_module("graphrec_pt.graph.integrity").checksum(content))


class TableCheck:
    """Raises for tables that do not fit the arrays of their graph."""

    def __init__(self, folder: Path, header: Header, csr: SegmentedCSR) -> None:
        self.folder, self.header, self.csr = folder, header, csr

    def before(self, name: str) -> None:
        """Check a file, before it is read."""
        check_unchanged(self.folder, self.header.fingerprint)
        check_file(self.folder, name, self.header)

    def after(self, kind: str, name: str, table: pl.DataFrame) -> None:
        """Check a table, after it is read: its height and columns, and what reads its rows."""
        check_unchanged(self.folder, self.header.fingerprint)  # it was this graph's
        who, schema = str(self.folder / kind / f"{name}.arrow"), self.header.schema
        if kind == "nodes":
            rows = self.header.nodes[name]
            missing = [c for c in (RAW_ID, *schema.node(name).columns) if c not in table.columns]
            if missing or len(table) != rows or table[RAW_ID].dtype != pl.String:
                expected = f"{rows} rows with the column {(missing or [RAW_ID])[0]!r}"
                raise GraphRecError(who, expected, f"{len(table)} with {table.columns}")
            return
        first = self.header.edge_offset.get(name, 0)
        outside = import_module("graphrec_pt.graph.integrity").edges_outside
        if outside(schema, self.csr, name, first, first + len(table)):
            raise GraphRecError(who, "a row for each edge id", f"{len(table)} rows")


class StoredTables(Mapping[str, pl.DataFrame]):
    """The Arrow files of a graph; each is read on first access."""

    def __init__(self, folder: Path, kind: str, names: Sequence[str], check: TableCheck) -> None:
        self._folder, self._kind, self._names = folder, kind, tuple(names)
        self._check = check
        self._read: dict[str, pl.DataFrame] = {}

    def __getitem__(self, name: str) -> pl.DataFrame:
        if name not in self._names:
            raise KeyError(name)
        if name not in self._read:
            path = self._folder / self._kind / f"{name}.arrow"
            try:
                if not path.is_file():
                    raise FileNotFoundError("no such file")
                self._check.before(f"{self._kind}/{name}.arrow")
                table = _read_arrow(path)
            except (OSError, ValueError, pl.exceptions.PolarsError) as error:
                if isinstance(error, GraphRecError):
                    raise
                raise GraphRecError(str(path), "an Arrow file", error, "building again") from error
            self._check.after(self._kind, name, table)
            self._read[name] = table
        return self._read[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


PANIC: type[BaseException] = pl.exceptions.PanicException
"""What polars raises for some damaged files; it is no subclass of Exception."""


def check_arrow(path: Path) -> None:
    """Check all offsets, texts and codes of an Arrow file, one batch of rows after the other.

    Raises:
        OSError: For a file that cannot be read.
        ValueError: For one that is damaged.
    """
    try:
        with pa.memory_map(str(path)) as source, pa.ipc.open_file(source) as reader:
            for number in range(reader.num_record_batches):
                reader.get_batch(number).validate(full=True)
    except pa.ArrowException as error:
        raise ValueError(str(error)) from error


def _read_arrow(path: Path) -> pl.DataFrame:
    """Return a memory-mapped table after a check of all its offsets, texts and codes.

    The reader of pyarrow can check a mapped file; that of polars does not.
    """
    try:
        with pa.memory_map(str(path)) as source:
            table = pa.ipc.open_file(source).read_all()
        table.validate(full=True)
        rows = pl.from_arrow(table, rechunk=False)
    except (pa.ArrowException, PANIC) as error:
        raise ValueError(str(error).splitlines()[0]) from error
    assert isinstance(rows, pl.DataFrame)
    return rows


ROWS_PER_BYTE = 16
"""Rows of a Parquet file at most: those of ids and numbers take a byte or more."""


def read_parquet(path: str | Path) -> tuple[pl.DataFrame, dict[str, str]]:
    """Return a Parquet file and its metadata, after a check of all its offsets, texts and codes.

    Raises:
        OSError: For a file that is missing.
        ValueError: For one that is damaged, or claims many more rows than its size has room for.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError("no such file")
    try:
        with parquet.ParquetFile(path) as file:
            if file.metadata.num_rows > ROWS_PER_BYTE * path.stat().st_size + 1000:
                raise ValueError(f"{file.metadata.num_rows:,} rows in a file of its size")
            table, texts = file.read(), file.metadata.metadata or {}
        table.validate(full=True)
        rows = pl.from_arrow(table)
        named = {name.decode(): value.decode() for name, value in texts.items()}
    except (pa.ArrowException, pl.exceptions.PolarsError, PANIC) as error:
        raise ValueError((str(error).splitlines() or ["damaged"])[0]) from error
    assert isinstance(rows, pl.DataFrame)
    return rows, named

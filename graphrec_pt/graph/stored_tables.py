"""Tables on disk, checked before they are used: the Arrow files of a graph, and Parquet files."""

from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from pathlib import Path

import polars as pl
import pyarrow as pa
from pyarrow import parquet

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.graph.graph import RAW_ID
from graphrec_pt.graph.header import Header, check_file, check_unchanged
from graphrec_pt.kernels.csr import SegmentedCSR


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

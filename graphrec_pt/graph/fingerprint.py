"""A digest of the content of a graph; it does not depend on where the graph is stored."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields
from hashlib import blake2b

import polars as pl
import pyarrow as pa

from graphrec_pt.graph.graph import Graph


def fingerprint(graph: Graph) -> str:
    """Return the BLAKE2b digest (32 hex digits) of schema, adjacency and columns."""
    arrays = [
        (field.name, array.numpy())
        for field in fields(graph.csr)
        if (array := getattr(graph.csr, field.name)) is not None
    ]
    with ThreadPoolExecutor() as pool:  # hashing releases the GIL
        digests = list(pool.map(lambda a: blake2b(memoryview(a[1]).cast("B")).digest(), arrays))
    total = blake2b(digest_size=16)
    total.update(json.dumps(graph.schema.model_dump(mode="json"), sort_keys=True).encode())
    for (name, array), digest in zip(arrays, digests, strict=True):
        total.update(f"{name}{array.dtype}{array.shape}".encode() + digest)
    for kind in (graph.tables, graph.edge_tables):
        for name in sorted(kind):
            total.update(name.encode())
            for part in _table_bytes(kind[name]):
                total.update(part)
    return total.hexdigest()


def _table_bytes(table: pl.DataFrame) -> Iterator[bytes | pa.Buffer]:
    for series in table:
        plain = series.cast(pl.String) if series.dtype in (pl.Enum, pl.Categorical) else series
        column = plain.rechunk().to_arrow()
        if pa.types.is_string_view(column.type):
            column = column.cast(pa.large_string())
        yield f"{series.name}{column.type}{len(column)}".encode()
        yield from (b"" if buffer is None else buffer for buffer in column.buffers())

"""Build a graph from edge lists, the one place that lays out its segmented CSR; fingerprints."""

import json
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields
from hashlib import blake2b
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa
import torch

from graphrec_pt.graph.graph import Graph
from graphrec_pt.graph.schema import Relation, Schema
from graphrec_pt.kernels.csr import SegmentedCSR
from graphrec_pt.kernels.fill import Stored, fill_backward, fill_forward, number_edges

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class EdgeList:
    """The edges of one forward relation, in any order.

    Args:
        source: Integers ``[E_r]``, numbered inside the source type.
        target: Integers ``[E_r]``, numbered inside the target type.
        time: int64 ``[E_r]`` or None.
        weight: float32 ``[E_r]`` or None.
        columns: Extra columns of the same length, or None.
        edge: int64 ``[E_r]`` edge ids to keep, or None to number the edges anew.
    """

    source: Array
    target: Array
    time: Array | None = None
    weight: Array | None = None
    columns: pl.DataFrame | None = None
    edge: Array | None = None

    def take(self, rows: Array) -> "EdgeList":
        """Return the given rows: their places, or a mask."""
        rows = np.flatnonzero(rows) if rows.dtype == bool else rows  # polars takes places alone
        return EdgeList(
            self.source[rows],
            self.target[rows],
            None if self.time is None else self.time[rows],
            None if self.weight is None else self.weight[rows],
            None if self.columns is None else self.columns[rows],
            None if self.edge is None else self.edge[rows],
        )


@dataclass(frozen=True)
class Assembled:
    """What :func:`assemble` returns: adjacency, extra edge columns, first and next edge ids."""

    csr: SegmentedCSR
    edge_tables: dict[str, pl.DataFrame]
    edge_offset: dict[str, int]
    edge_ids: int


def assemble(
    schema: Schema, counts: Sequence[int], edges: Mapping[str, EdgeList], edge_ids: int = 0
) -> Assembled:
    """Lay out edge lists as a segmented CSR, inverses included.

    Edge ids number the edges of each forward relation in stored order (see
    :class:`~graphrec_pt.kernels.fill.Stored`); an inverse carries the ids of the relation it
    mirrors.

    Args:
        schema: Node types and relations.
        counts: Nodes of each type, in id order.
        edges: Forward relation → its edges.
        edge_ids: How many edge ids are taken already; edges without ids are numbered from here.
    """
    offset = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    slots = np.array([len(schema.leaving(n)) for n in schema.node_names], dtype=np.int64)
    base = np.concatenate([[0], np.cumsum(np.asarray(counts, np.int64) * slots)]).astype(np.int64)
    segment = np.zeros(int(base[-1]) + 1, dtype=np.int64)
    for relation in schema.relations:
        listed = edges[_forward_name(relation)]
        ends = listed.target if relation.backward else listed.source
        n = counts[schema.node_index(relation.source)]
        _segments_of(schema, relation, base, segment[1:])[:] = np.bincount(ends, minlength=n)
    np.cumsum(segment, out=segment)

    numbered = sum(len(e.source) for e in edges.values() if e.edge is None)
    size, total = int(segment[-1]), edge_ids + numbered
    stored = Stored(
        np.empty(size, _index_type(int(offset[-1]))),
        np.empty(size, _index_type(total)),
        np.empty(size, np.int64) if any(r.timed for r in schema.relations) else None,
        np.empty(size, np.float32) if any(r.weighted for r in schema.relations) else None,
    )
    tables, first, next_id = dict[str, pl.DataFrame](), dict[str, int](), edge_ids
    for relation in schema.relations:
        if relation.backward:
            continue
        listed = edges[relation.name]
        starts = _segments_of(schema, relation, base, segment[:-1])
        ends = _segments_of(schema, relation, base, segment[1:])
        at = int(offset[schema.node_index(relation.target)])
        ids = np.arange(len(listed.source)) if listed.edge is None else listed.edge
        ends_of = listed.source, listed.target, at
        fill_forward(stored, starts, *ends_of, ids, listed.time, listed.weight)
        if listed.edge is None:
            former = number_edges(stored, starts, ends, next_id)
            if listed.columns is not None:
                tables[relation.name] = listed.columns[former]
            first[relation.name], next_id = next_id, next_id + len(former)
        if relation.inverse is not None:
            inverse = schema.relation(relation.inverse)
            fill_backward(
                stored,
                starts,
                ends,
                int(offset[schema.node_index(relation.source)]),
                at,
                _segments_of(schema, inverse, base, segment[:-1]),
            )

    arrays = (offset, slots, base, segment, stored.indices, stored.time, stored.weight, stored.edge)
    csr = SegmentedCSR(*(None if a is None else torch.from_numpy(a) for a in arrays))  # type: ignore[arg-type]
    return Assembled(csr, tables, first, total)


def _forward_name(relation: Relation) -> str:
    return relation.inverse or relation.name if relation.backward else relation.name


def _segments_of(schema: Schema, relation: Relation, base: Array, values: Array) -> Array:
    """Return the view of a per-segment array that belongs to one relation: ``[n_s]``."""
    index, slots = schema.node_index(relation.source), len(schema.leaving(relation.source))
    return values[base[index] + schema.slot(relation.name) : base[index + 1] : slots]


def _index_type(count: int) -> type[np.signedinteger[Any]]:
    return np.int32 if count < 2**31 else np.int64


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

"""Edge lists in, segmented CSR out: the one place where adjacency arrays are laid out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import torch

from graphrec_pt.graph.schema import Relation, Schema
from graphrec_pt.kernels.csr import NO_TIME, SegmentedCSR
from graphrec_pt.kernels.order import order

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
        """Return the given rows."""
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

    Edge ids number the edges of each forward relation in the order (source, time, target); an
    inverse carries the ids of the relation it mirrors.

    Args:
        schema: Node types and relations.
        counts: Nodes of each type, in id order.
        edges: Forward relation → its edges.
        edge_ids: How many edge ids are taken already; edges without ids are numbered from here.
    """
    offset = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    slots = np.array([len(schema.leaving(n)) for n in schema.node_names], dtype=np.int64)
    base = np.concatenate([[0], np.cumsum(np.asarray(counts, np.int64) * slots)]).astype(np.int64)
    forward = {r.name: _sorted(edges[r.name]) for r in schema.relations if not r.backward}
    first, total = dict[str, int](), edge_ids
    for name, listed in forward.items():
        if listed.edge is None:
            ids = np.arange(total, total + len(listed.source))
            forward[name] = replace(listed, edge=ids.astype(_index_type(total + len(ids))))
            first[name], total = total, total + len(listed.source)

    segment = np.zeros(int(base[-1]) + 1, dtype=np.int64)
    for relation in schema.relations:
        ends = _ends(relation, forward)[0]
        n = counts[schema.node_index(relation.source)]
        _segments_of(schema, relation, base, segment[1:])[:] = np.bincount(ends, minlength=n)
    np.cumsum(segment, out=segment)

    stored = int(segment[-1])
    indices = np.empty(stored, _index_type(int(offset[-1])))
    edge = np.empty(stored, _index_type(total))
    time = np.full(stored, NO_TIME) if any(r.timed for r in schema.relations) else None
    weight = np.ones(stored, np.float32) if any(r.weighted for r in schema.relations) else None
    for relation in schema.relations:
        listed = forward[_forward_name(relation)]
        source, target = _ends(relation, forward)
        rows: Array | slice = slice(None)
        if relation.backward:
            rows = (
                order(source, target) if listed.time is None else _by_time(source, listed, target)
            )
            source, target = source[rows], target[rows]
        place = _places(source, _segments_of(schema, relation, base, segment[:-1]))
        indices[place] = target + offset[schema.node_index(relation.target)]
        assert listed.edge is not None
        edge[place] = listed.edge[rows]
        if time is not None and listed.time is not None:
            time[place] = listed.time[rows]
        if weight is not None and listed.weight is not None:
            weight[place] = listed.weight[rows]

    arrays = (offset, slots, base, segment, indices, time, weight, edge)
    csr = SegmentedCSR(*(None if a is None else torch.from_numpy(a) for a in arrays))  # type: ignore[arg-type]
    tables = {name: e.columns for name, e in forward.items() if e.columns is not None}
    return Assembled(csr, tables, first, total)


def _sorted(listed: EdgeList) -> EdgeList:
    if listed.time is None:
        return listed.take(order(listed.source, listed.target))
    return listed.take(_by_time(listed.source, listed, listed.target))


def _by_time(source: Array, listed: EdgeList, target: Array) -> Array:
    assert listed.time is not None
    return order(source, listed.time, target)


def _forward_name(relation: Relation) -> str:
    return relation.inverse or relation.name if relation.backward else relation.name


def _ends(relation: Relation, forward: Mapping[str, EdgeList]) -> tuple[Array, Array]:
    listed = forward[_forward_name(relation)]
    if relation.backward:
        return listed.target, listed.source
    return listed.source, listed.target


def _segments_of(schema: Schema, relation: Relation, base: Array, values: Array) -> Array:
    """Return the view of a per-segment array that belongs to one relation: ``[n_s]``."""
    index, slots = schema.node_index(relation.source), len(schema.leaving(relation.source))
    return values[base[index] + schema.slot(relation.name) : base[index + 1] : slots]


def _places(source: Array, starts: Array) -> Array:
    """Return where each of the rows, sorted by source, goes: its segment start plus its rank."""
    degree = np.bincount(source, minlength=len(starts))
    before = np.cumsum(degree) - degree
    return np.repeat(starts - before, degree) + np.arange(len(source))


def _index_type(count: int) -> type[np.signedinteger[Any]]:
    return np.int32 if count < 2**31 else np.int64

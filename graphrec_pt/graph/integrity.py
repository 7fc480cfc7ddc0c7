"""Checks of the arrays of a stored graph, which run before any kernel reads the arrays.

Kernels do not check the values of the arrays, so a number out of range would make them read or
write outside of an array. The checks read each array once and allocate no memory.
"""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from graphrec_pt.graph.schema import Schema
from graphrec_pt.kernels.csr import SegmentedCSR
from graphrec_pt.kernels.numba.compile import kernel

Ints = npt.NDArray[np.int64]

_START, _PRIME = np.uint64(0xCBF29CE484222325), np.uint64(0x100000001B3)
_LANES = 4
_SWEEP = np.uint64(32)


class Problem(NamedTuple):
    """A fault of an array.

    Args:
        array: Name of the array.
        expected: What the array should hold.
        got: What the array holds.
    """

    array: str
    expected: str
    got: str


def checksum(content: npt.NDArray[np.uint8]) -> str:
    """Return a checksum of bytes: FNV-1a over words of 64 bits in four lanes, 16 hex digits.

    It detects damage: any change of a single word changes the checksum. It does not detect forgery;
    :func:`~graphrec_pt.graph.assemble.fingerprint` compares the content of a graph that somebody
    may have forged.

    Args:
        content: uint8 ``[n]``, contiguous.
    """
    whole = len(content) // 8 * 8
    lanes = _mixed(np.frombuffer(content.data, np.uint64, count=whole // 8))
    rest = int.from_bytes(content[whole:].tobytes() + bytes([len(content) % 8]), "little")
    total = int(_START)
    for value in [*lanes.tolist(), rest & 0xFFFFFFFFFFFFFFFF, rest >> 64, len(content)]:
        total = (total ^ value) * int(_PRIME) % 2**64
        total ^= total >> 32
    return f"{total:016x}"


def problem_of(
    schema: Schema, csr: SegmentedCSR, edge_offset: dict[str, int], edge_ids: int
) -> Problem | None:
    """Return the first fault that would let a kernel leave an array, or None if there is none.

    Args:
        schema: Node types and relations.
        csr: One-dimensional arrays of the right types.
        edge_offset: Relation → first of its edge ids.
        edge_ids: Number of edge ids ever assigned.
    """
    offset, slots, base = (np.asarray(a) for a in (csr.offset, csr.slots, csr.base))
    segment = np.asarray(csr.segment)
    kinds, edges = len(schema.nodes), csr.num_edges
    if len(offset) != kinds + 1 or offset[0] != 0 or bool((np.diff(offset) < 0).any()):
        return Problem("offset", f"{kinds + 1} ascending numbers from 0", _some(offset))
    leaving = [len(schema.leaving(name)) for name in schema.node_names]
    if slots.tolist() != leaving:
        return Problem("slots", f"{leaving}, as the schema has relations", _some(slots))
    sizes = [int(n) * k for n, k in zip(np.diff(offset), leaving, strict=True)]
    first = [sum(sizes[:n]) for n in range(kinds + 1)]
    if base.tolist() != first:
        return Problem("base", str(first), _some(base))
    if len(segment) != first[-1] + 1:
        return Problem("segment", f"{first[-1] + 1} numbers", str(len(segment)))
    at = _descent(segment, edges)
    if at >= 0 or segment[0] != 0 or segment[-1] != edges:
        expected = f"numbers that ascend from 0 to {edges}, the edges"
        return Problem("segment", expected, f"{segment[at]} at {at if at >= 0 else len(segment)}")
    for number, node in enumerate(schema.nodes):
        segments = segment[first[number] : first[number + 1] + 1]
        problem = _of_type(schema, csr, node.name, segments, edge_offset, edge_ids)
        if problem is not None:
            return problem
    return None


def edges_outside(schema: Schema, csr: SegmentedCSR, relation: str, low: int, high: int) -> bool:
    """Say whether an edge of a relation has an id outside ``[low, high)``."""
    if csr.edge is None:
        return False
    number, leaving = schema.node_index(schema.relation(relation).source), []
    for leaver in schema.leaving(schema.relation(relation).source):
        leaving.append((low, high) if leaver.name == relation else (-(2**62), 2**62))
    segments = np.asarray(csr.segment)[int(csr.base[number]) : int(csr.base[number + 1]) + 1]
    bounds = np.array(leaving, np.int64)
    return bool(
        _outside(segments, np.asarray(csr.edge), bounds[:, 0].copy(), bounds[:, 1].copy()) >= 0
    )


def _of_type(
    schema: Schema,
    csr: SegmentedCSR,
    node_type: str,
    segment: Ints,
    edge_offset: dict[str, int],
    edge_ids: int,
) -> Problem | None:
    """Return the problem of the edges that leave a node type, if there is one."""
    offset, relations = csr.offset.tolist(), schema.leaving(node_type)
    if not relations:
        return None
    targets = [schema.node_index(r.target) for r in relations]
    low = np.array([offset[t] for t in targets], np.int64)
    high = np.array([offset[t + 1] for t in targets], np.int64)
    if (at := int(_outside(segment, np.asarray(csr.indices), low, high))) >= 0:
        got = f"{int(csr.indices[at])} at {at}"
        return Problem("indices", f"ids of the targets of {node_type!r}'s relations", got)
    if csr.edge is not None:
        ranges = [_ids(schema, r.name, edge_offset, edge_ids) for r in relations]
        low, high = (np.array(ends, np.int64) for ends in zip(*ranges, strict=True))
        if (at := int(_outside(segment, np.asarray(csr.edge), low, high))) >= 0:
            got = f"{int(csr.edge[at])} at {at}"
            return Problem("edge", f"edge ids of {node_type!r}'s relations", got)
    if csr.time is not None and (at := int(_unsorted(segment, np.asarray(csr.time)))) >= 0:
        return Problem("time", "times that ascend at each node", f"{int(csr.time[at])} at {at}")
    if csr.weight is not None and (at := int(_not_finite(segment, np.asarray(csr.weight)))) >= 0:
        return Problem("weight", "finite numbers", f"{float(csr.weight[at])} at {at}")
    return None


def _ids(
    schema: Schema, relation: str, edge_offset: dict[str, int], edge_ids: int
) -> tuple[int, int]:
    """Return the range of the edge ids of a relation, as far as it is known."""
    named = schema.relation(relation)
    first = edge_offset.get((named.inverse if named.backward else None) or relation)
    if first is None:
        return 0, edge_ids
    return first, min((at for at in edge_offset.values() if at > first), default=edge_ids)


def _some(values: npt.NDArray[Any]) -> str:
    return str(values[:8].tolist()) + (" …" if len(values) > 8 else "")


@kernel()
def _mixed(words: Any) -> Any:
    lanes = np.full(_LANES, _START, np.uint64)
    a, b, c, d = lanes[0], lanes[1], lanes[2], lanes[3]
    whole = len(words) // _LANES * _LANES
    for i in range(0, whole, _LANES):
        a = (a ^ words[i]) * _PRIME
        b = (b ^ words[i + 1]) * _PRIME
        c = (c ^ words[i + 2]) * _PRIME
        d = (d ^ words[i + 3]) * _PRIME
        # Multiplication carries upwards only; the shift lets high bits influence low ones.
        a ^= a >> _SWEEP
        b ^= b >> _SWEEP
        c ^= c >> _SWEEP
        d ^= d >> _SWEEP
    for i in range(whole, len(words)):
        a = (a ^ words[i]) * _PRIME
        a ^= a >> _SWEEP
    lanes[0], lanes[1], lanes[2], lanes[3] = a, b, c, d
    return lanes


@kernel()
def _descent(segment: Any, most: Any) -> Any:
    """Return the first place that is below the one before, or outside ``[0, most]``; else −1."""
    before = np.int64(0)
    for i in range(len(segment)):
        here = segment[i]
        if here < before or here > most:
            return i
        before = here
    return -1


@kernel()
def _outside(segment: Any, values: Any, low: Any, high: Any) -> Any:
    """Return the first place whose value is outside the range of its slot, or −1."""
    slots = len(low)
    slot = 0
    for g in range(len(segment) - 1):
        least, most = low[slot], high[slot]
        for e in range(segment[g], segment[g + 1]):
            if values[e] < least or values[e] >= most:
                return e
        slot += 1
        if slot == slots:
            slot = 0
    return -1


@kernel()
def _unsorted(segment: Any, time: Any) -> Any:
    """Return the first place whose time is before that of the edge before, or −1."""
    for g in range(len(segment) - 1):
        for e in range(segment[g] + 1, segment[g + 1]):
            if time[e] < time[e - 1]:
                return e
    return -1


@kernel()
def _not_finite(segment: Any, weight: Any) -> Any:
    """Return the first place whose weight is NaN or infinite, or −1."""
    for e in range(segment[0], segment[len(segment) - 1]):
        if not np.isfinite(weight[e]):
            return e
    return -1

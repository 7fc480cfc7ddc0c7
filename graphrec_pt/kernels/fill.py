"""Filling the segments of a CSR, and the stable order that sorts edges into them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from graphrec_pt.core.key import Key, philox
from graphrec_pt.kernels.csr import NO_TIME
from graphrec_pt.kernels.dispatch import body

Array = npt.NDArray[Any]
TIES = Key(0).named("ties")
"""Orders the edges of a segment at one time: by 64 bits of (target, number of the source)."""


@dataclass(frozen=True)
class Stored:
    """The edge arrays of a CSR while it is filled.

    Edges of a segment ascend by (time, bits of :data:`TIES`, id), those without a time by
    (target, id).

    Args:
        indices: int32 or int64 ``[E]`` targets.
        edge: int32 or int64 ``[E]`` ids.
        time: int64 ``[E]``, or None when no relation is timed.
        weight: float32 ``[E]``, or None when no relation is weighted.
    """

    indices: Array
    edge: Array
    time: Array | None
    weight: Array | None


def fill_forward(
    stored: Stored,
    starts: Array,
    source: Array,
    target: Array,
    first_target: int,
    edge: Array,
    time: Array | None,
    weight: Array | None,
) -> None:
    """Put the edges of one relation into its segments.

    Args:
        stored: The arrays to fill; written in place.
        starts: int64 ``[n_s]``, where the segment of each source begins.
        source: Integers ``[E_r]`` below ``n_s``.
        target: Integers ``[E_r]``, numbered inside the target type.
        first_target: Global id of the first node of the target type.
        edge: Integers ``[E_r]``, the ids to store.
        time: int64 ``[E_r]``; None for a relation without times among timed ones.
        weight: float32 ``[E_r]``; None for weights of 1.
    """
    _body("fill_forward")(stored, starts, source, target, first_target, edge, time, weight)


def number_edges(stored: Stored, starts: Array, ends: Array, first: int) -> Array:
    """Renumber the edges of one relation in stored order, from `first` on.

    Args:
        stored: The arrays; ``edge`` is written in place.
        starts: int64 ``[n_s]``, where each segment begins.
        ends: int64 ``[n_s]``, where it ends.
        first: Id of the first edge.

    Returns:
        int64 ``[E_r]``, the former id of every edge in stored order.
    """
    former: Array = _body("number_edges")(stored, starts, ends, first)
    return former


def fill_backward(
    stored: Stored,
    starts: Array,
    ends: Array,
    first_source: int,
    first_target: int,
    back: Array,
) -> None:
    """Put the inverses of a filled relation into their segments; ids are shared.

    Args:
        stored: The arrays, read and written in place.
        starts: int64 ``[n_s]``, where each segment of the relation begins.
        ends: int64 ``[n_s]``, where it ends.
        first_source: Global id of the first node of the source type.
        first_target: Global id of the first node of the target type.
        back: int64 ``[n_t]``, where the segment of each target begins in the inverse.
    """
    _body("fill_backward")(stored, starts, ends, first_source, first_target, back)


def _body(name: str) -> Callable[..., Any]:
    """Return a body for arrays of numpy, which lie in the memory of the CPU."""
    return body(f"fill.{name}", torch.empty(0, device="cpu"))


def expanded(starts: Array, ends: Array) -> tuple[Array, Array]:
    """Return the segment number and the position of every edge of some segments."""
    degree = ends - starts
    before = np.cumsum(degree) - degree
    segment = np.repeat(np.arange(len(starts)), degree)
    return segment, np.repeat(starts - before, degree) + np.arange(len(segment))


Int64 = npt.NDArray[np.int64]


def order(*columns: npt.NDArray[np.integer]) -> Int64:
    """Return the stable order that sorts rows by the first column, then by the next ones.

    The numba body is a least-significant-digit radix sort that skips digits that never vary;
    the torch body is one stable sort per column. Both give the same permutation.

    Args:
        *columns: Integer arrays ``[E]``, most significant first.

    Returns:
        int64 ``[E]``, the rows in sorted order.
    """
    permutation: Int64 = _body("order")(columns)
    return permutation


def torch_fill_forward(
    stored: Stored,
    starts: Array,
    source: Array,
    target: Array,
    first_target: int,
    edge: Array,
    time: Array | None,
    weight: Array | None,
) -> None:
    """Put edges into segments; see :func:`graphrec_pt.kernels.fill.fill_forward`."""
    keys = [edge, target]
    if time is not None:
        bits = _bits(target + first_target, source)
        keys += [np.where(time == NO_TIME, np.uint64(0), bits), time]
    rows = np.lexsort((*keys, source))
    ends = starts + np.bincount(source, minlength=len(starts))
    place = expanded(starts, ends)[1]
    stored.indices[place] = target[rows] + first_target
    stored.edge[place] = edge[rows]
    if stored.time is not None:
        stored.time[place] = NO_TIME if time is None else time[rows]
    if stored.weight is not None:
        stored.weight[place] = 1 if weight is None else weight[rows]


def _bits(target: Array, source: Array) -> Array:
    """Return 64 random bits for each pair: uint64 ``[E_r]``."""
    stream, epoch = (np.full(1, word, np.uint32) for word in (TIES.stream, TIES.epoch))
    words = philox(TIES.words, (target.astype(np.uint32), source.astype(np.uint32), stream, epoch))
    bits: Array = words[:, 0].astype(np.uint64) << np.uint64(32) | words[:, 1]
    return bits


def torch_number_edges(stored: Stored, starts: Array, ends: Array, first: int) -> Array:
    """Renumber edges; see :func:`graphrec_pt.kernels.fill.number_edges`."""
    place = expanded(starts, ends)[1]
    former = stored.edge[place].astype(np.int64)
    stored.edge[place] = first + np.arange(len(place))
    return former


def torch_fill_backward(
    stored: Stored,
    starts: Array,
    ends: Array,
    first_source: int,
    first_target: int,
    back: Array,
) -> None:
    """Put inverses into segments; see :func:`graphrec_pt.kernels.fill.fill_backward`."""
    source, place = expanded(starts, ends)
    torch_fill_forward(
        stored,
        back,
        stored.indices[place].astype(np.int64) - first_target,
        source,
        first_source,
        stored.edge[place],
        None if stored.time is None else stored.time[place],
        None if stored.weight is None else stored.weight[place],
    )


def torch_order(columns: Sequence[npt.NDArray[np.integer]]) -> npt.NDArray[np.int64]:
    """Return the rows in lexicographic order; see :func:`graphrec_pt.kernels.fill.order`."""
    rows = torch.arange(len(columns[0]))
    for column in reversed(columns):
        keys = torch.from_numpy(np.ascontiguousarray(column)).long()
        rows = rows[torch.sort(keys[rows], stable=True).indices]
    permutation: npt.NDArray[np.int64] = rows.numpy()
    return permutation

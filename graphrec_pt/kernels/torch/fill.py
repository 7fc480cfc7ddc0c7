"""Filling segments by stable sorts."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from graphrec_pt.core.key import philox
from graphrec_pt.kernels.csr import NO_TIME
from graphrec_pt.kernels.fill import TIES, Stored, expanded

Array = npt.NDArray[Any]


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


def number_edges(stored: Stored, starts: Array, ends: Array, first: int) -> Array:
    """Renumber edges; see :func:`graphrec_pt.kernels.fill.number_edges`."""
    place = expanded(starts, ends)[1]
    former = stored.edge[place].astype(np.int64)
    stored.edge[place] = first + np.arange(len(place))
    return former


def fill_backward(
    stored: Stored,
    starts: Array,
    ends: Array,
    first_source: int,
    first_target: int,
    back: Array,
) -> None:
    """Put inverses into segments; see :func:`graphrec_pt.kernels.fill.fill_backward`."""
    source, place = expanded(starts, ends)
    fill_forward(
        stored,
        back,
        stored.indices[place].astype(np.int64) - first_target,
        source,
        first_source,
        stored.edge[place],
        None if stored.time is None else stored.time[place],
        None if stored.weight is None else stored.weight[place],
    )


def order(columns: Sequence[npt.NDArray[np.integer]]) -> npt.NDArray[np.int64]:
    """Return the rows in lexicographic order; see :func:`graphrec_pt.kernels.fill.order`."""
    rows = torch.arange(len(columns[0]))
    for column in reversed(columns):
        keys = torch.from_numpy(np.ascontiguousarray(column)).long()
        rows = rows[torch.sort(keys[rows], stable=True).indices]
    permutation: npt.NDArray[np.int64] = rows.numpy()
    return permutation

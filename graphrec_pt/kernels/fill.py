"""Filling the segments of a CSR, and the stable order that sorts edges into them."""

from dataclasses import dataclass
from importlib import import_module
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from graphrec_pt.core.key import Key
from graphrec_pt.kernels.dispatch import chosen_body

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
    _bodies().fill_forward(stored, starts, source, target, first_target, edge, time, weight)


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
    former: Array = _bodies().number_edges(stored, starts, ends, first)
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
    _bodies().fill_backward(stored, starts, ends, first_source, first_target, back)


def _bodies() -> ModuleType:
    numba = chosen_body(torch.empty(0, device="cpu")) == "numba"
    return import_module(f"graphrec_pt.kernels.{'numba' if numba else 'torch'}.fill")


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
    on_cpu = torch.empty(0, device="cpu")
    backend = "numba" if chosen_body(on_cpu) == "numba" else "torch"
    sort = import_module(f"graphrec_pt.kernels.{backend}.fill").order
    permutation: Int64 = sort(columns)
    return permutation

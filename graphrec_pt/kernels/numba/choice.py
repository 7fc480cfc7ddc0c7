"""Choosing one edge of a node in compiled loops: uniform or by weight, no older than a time."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from graphrec_pt.kernels.csr import NO_TIME
from graphrec_pt.kernels.numba.compile import inlined
from graphrec_pt.kernels.numba.philox import below
from graphrec_pt.kernels.numba.segments import array, lower_bound
from graphrec_pt.kernels.torch.choice import UNDER_ONE


def optional(tensor: Tensor | None, kind: torch.dtype) -> Any:
    """Return an optional tensor as compiled functions take it: empty when there is none."""
    return array(torch.empty(0, dtype=kind) if tensor is None else tensor)


@inlined
def unit(high: Any, low: Any) -> Any:
    """Return 53 random bits of two words as float64 in [0, 1)."""
    return np.float64((np.int64(high) << 21) | (np.int64(low) >> 11)) * 2.0**-53


@inlined
def youngest_from(time: Any, start: Any, end: Any, since: Any) -> Any:
    """Return the first edge of a segment that is not older than `since`."""
    return start if since == NO_TIME else lower_bound(time, start, end, since)


@inlined
def uniform_choice(
    segment: Any, time: Any, first: int, last: int, timed: bool, since: int, bits: int
) -> Any:
    """Return a uniform edge of segments ``[first, last)``, −1 when there is none."""
    start, end = segment[first], segment[last]
    if not timed or since == NO_TIME:
        return start + below(bits, end - start) if end > start else -1
    total = 0
    for k in range(first, last):
        total += segment[k + 1] - lower_bound(time, segment[k], segment[k + 1], since)
    rank = below(bits, total)
    for k in range(first, last):
        start = lower_bound(time, segment[k], segment[k + 1], since)
        if rank < segment[k + 1] - start:
            return np.int64(start + rank)
        rank -= segment[k + 1] - start
    return -1


@inlined
def mass_before(cumulative: Any, begin: int, start: int) -> float:
    """Return the running weight just before `start`; a node's weights begin at `begin`."""
    return cumulative[start - 1] if start > begin else 0.0


@inlined
def weighted_range(
    segment: Any,
    time: Any,
    cumulative: Any,
    begin: int,
    first: int,
    last: int,
    timed: bool,
    since: int,
    share: float,
) -> tuple[int, int, float, float, float]:
    """Return where to search for the edge at `share` of the eligible weight.

    Returns:
        start and end of the range, the running weight before it, how much weight of the range
        lies before the choice, and its whole weight; an empty range at −1 when nothing has weight.
    """
    segments = last - first if timed else 1
    total = 0.0
    for k in range(segments):
        end = segment[first + k + 1] if timed else segment[last]
        start = segment[first + k]
        if timed:
            start = youngest_from(time, start, end, since)
        if end > start:
            total += cumulative[end - 1] - mass_before(cumulative, begin, start)
    goal, passed = share * total, 0.0
    for k in range(segments):
        end = segment[first + k + 1] if timed else segment[last]
        start = segment[first + k]
        if timed:
            start = youngest_from(time, start, end, since)
        if end > start:
            skipped = mass_before(cumulative, begin, start)
            mass = cumulative[end - 1] - skipped
            if goal < passed + mass:
                return start, end, skipped, min(goal - passed, mass * UNDER_ONE), mass
            passed += mass
    return -1, -1, 0.0, 0.0, 1.0


@inlined
def search_near(ascending: Any, low: Any, high: Any, guess: Any, offset: Any, bound: Any) -> Any:
    """Return the first place in ``[low, high)`` where ``ascending - offset`` exceeds `bound`.

    Steps that double lead away from the guess, then halves close in: a good guess costs one or
    two cache lines where a binary search costs one for every halving.
    """
    if low >= high:
        return low
    place, step = min(max(guess, low), high - 1), 8
    if ascending[place] - offset <= bound:
        low = place + 1
        place += step
        while place < high and ascending[place] - offset <= bound:
            low = place + 1
            step *= 2
            place += step
        high = min(high, place)
    else:
        high = place
        place -= step
        while place >= low and ascending[place] - offset > bound:
            high = place
            step *= 2
            place -= step
        low = max(low, place + 1)
    while low < high:
        middle = (low + high) >> 1
        right = ascending[middle] - offset <= bound
        low = middle + 1 if right else low
        high = high if right else middle
    return low

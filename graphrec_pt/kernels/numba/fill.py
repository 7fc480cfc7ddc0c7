"""Filling segments: scattering sweeps, then a sort of every segment while it is in the cache.

Nodes are cut into parts with about equally many edges; a sweep writes to one part only, so the
parts run in parallel.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from graphrec_pt.kernels.csr import NO_TIME
from graphrec_pt.kernels.fill import TIES, Stored
from graphrec_pt.kernels.numba.compile import kernel, thread_count
from graphrec_pt.kernels.numba.philox import four_words, unsigned
from graphrec_pt.kernels.philox import key_words

Array = npt.NDArray[Any]
PART_EDGES = 1 << 21  # every part reads all edges once: more parts cost more than they save
MOST_PARTS = 64
SHORT = 32  # segments up to this long are sorted by insertion
NO_TIMES, NO_WEIGHTS = np.empty(0, np.int64), np.empty(0, np.float32)
_WORDS = unsigned(key_words(TIES))
NO_TIMES.flags.writeable = NO_WEIGHTS.flags.writeable = False


@kernel()
def _scatter(
    part: Any,
    out: Any,
    cursor: Any,
    source: Any,
    target: Any,
    first_target: Any,
    edge: Any,
    time: Any,
    weight: Any,
) -> None:
    indices, edges, times, weights = out
    low, high = part
    for i in range(source.shape[0]):
        s = source[i]
        if low <= s < high:
            at = cursor[s]
            cursor[s] = at + 1
            indices[at] = target[i] + first_target
            edges[at] = edge[i]
            if times.shape[0]:
                times[at] = time[i] if time.shape[0] else NO_TIME
            if weights.shape[0]:
                weights[at] = weight[i] if weight.shape[0] else np.float32(1)


@kernel()
def _scatter_back(
    part: Any, out: Any, cursor: Any, starts: Any, ends: Any, first_source: Any, first_target: Any
) -> None:
    indices, edges, times, weights = out
    low, high = part
    for s in range(starts.shape[0]):
        for i in range(starts[s], ends[s]):
            target = indices[i] - first_target
            if low <= target < high:
                at = cursor[target]
                cursor[target] = at + 1
                indices[at] = s + first_source
                edges[at] = edges[i]
                if times.shape[0]:
                    times[at] = times[i]
                if weights.shape[0]:
                    weights[at] = weights[i]


@kernel()
def _sort(part: Any, out: Any, starts: Any, ends: Any, words: Any) -> None:
    """Sort every segment; scattering left equal edges in id order."""
    indices, times = out[0], out[2]
    for s in range(part[0], part[1]):
        low, high = starts[s], ends[s]
        if not _is_sorted(indices, times, low, high) and (
            high - low <= SHORT or not _sort_by_key(out, low, high)
        ):
            _sort_by_insertion(out, low, high)
        if times.shape[0]:
            _mix_ties(out, s, low, high, words)


@kernel()
def _mix_ties(out: Any, s: Any, low: Any, high: Any, words: Any) -> None:
    """Put the edges of one segment and time into random order, equal ones by id."""
    indices, edges, times, weights = out
    first = low
    while first < high:
        end = first + 1
        while end < high and times[end] == times[first]:
            end += 1
        if end - first > 1 and times[first] != NO_TIME:
            bits = np.empty(end - first, np.uint64)
            for k in range(end - first):
                one, two, _, _ = four_words(words, indices[first + k], s)
                bits[k] = np.uint64(one) << np.uint64(32) | np.uint64(two)
            rows = np.argsort(bits, kind="mergesort")
            indices[first:end] = indices[first:end][rows]
            edges[first:end] = edges[first:end][rows]
            if weights.shape[0]:
                weights[first:end] = weights[first:end][rows]
        first = end


@kernel()
def _is_sorted(indices: Any, times: Any, low: Any, high: Any) -> bool:
    timed = times.shape[0] > 0
    for i in range(low + 1, high):
        if timed and times[i] != times[i - 1]:
            if times[i] < times[i - 1]:
                return False
        elif indices[i] < indices[i - 1]:
            return False
    return True


@kernel()
def _sort_by_key(out: Any, low: Any, high: Any) -> bool:
    """Sort one segment by time and target packed in 63 bits; False when they do not fit."""
    indices, edges, times, weights = out
    timed, weighted = times.shape[0] > 0, weights.shape[0] > 0
    first = indices[low:high].min()
    span = np.int64(indices[low:high].max() - first) + 1
    key = (indices[low:high] - first).astype(np.int64)
    if timed:
        earliest = times[low:high].min()
        if float(times[low:high].max() - earliest) * float(span) > 4e18:
            return False
        key += (times[low:high] - earliest) * span
    rows = np.argsort(key, kind="mergesort")
    indices[low:high] = indices[low:high][rows]
    edges[low:high] = edges[low:high][rows]
    if timed:
        times[low:high] = times[low:high][rows]
    if weighted:
        weights[low:high] = weights[low:high][rows]
    return True


@kernel()
def _sort_by_insertion(out: Any, low: Any, high: Any) -> None:
    indices, edges, times, weights = out
    timed, weighted = times.shape[0] > 0, weights.shape[0] > 0
    for i in range(low + 1, high):
        target, edge = indices[i], edges[i]
        time = times[i] if timed else 0
        weight = weights[i] if weighted else np.float32(0)
        j = i
        while j > low:
            if timed and times[j - 1] != time:
                if times[j - 1] < time:
                    break
            elif indices[j - 1] <= target:
                break
            indices[j], edges[j] = indices[j - 1], edges[j - 1]
            if timed:
                times[j] = times[j - 1]
            if weighted:
                weights[j] = weights[j - 1]
            j -= 1
        indices[j], edges[j] = target, edge
        if timed:
            times[j] = time
        if weighted:
            weights[j] = weight


@kernel()
def _number(edges: Any, starts: Any, ends: Any, first: Any, former: Any) -> None:
    count = 0
    for s in range(starts.shape[0]):
        for i in range(starts[s], ends[s]):
            former[count] = edges[i]
            edges[i] = first + count
            count += 1


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
    narrow = stored.indices.dtype
    given = (
        _input(source, narrow),
        _input(target, narrow),
        first_target,
        _input(edge, np.int64),
        NO_TIMES if time is None else _input(time, np.int64),
        NO_WEIGHTS if weight is None else _input(weight, np.float32),
    )
    out, cursor, starts = _arrays(stored), np.array(starts), np.array(starts)
    parts = _parts(starts, len(source))
    _each(parts, _scatter, out, cursor, *given)  # the cursor moves to the ends
    _each(parts, _sort, out, starts, cursor, _WORDS)


def number_edges(stored: Stored, starts: Array, ends: Array, first: int) -> Array:
    """Renumber edges; see :func:`graphrec_pt.kernels.fill.number_edges`."""
    former = np.empty(int((ends - starts).sum()), np.int64)
    _number(stored.edge, np.array(starts), np.array(ends), first, former)
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
    out, cursor, back = _arrays(stored), np.array(back), np.array(back)
    ahead = np.array(starts), np.array(ends), first_source, first_target
    parts = _parts(back, int((ends - starts).sum()))
    _each(parts, _scatter_back, out, cursor, *ahead)
    _each(parts, _sort, out, back, cursor, _WORDS)


def _arrays(stored: Stored) -> tuple[Array, Array, Array, Array]:
    time = np.empty(0, np.int64) if stored.time is None else stored.time
    weight = np.empty(0, np.float32) if stored.weight is None else stored.weight
    return stored.indices, stored.edge, time, weight


def _input(array: Array, dtype: Any) -> Array:
    """Return a contiguous read-only view of one dtype: one compiled version serves all callers."""
    view = np.ascontiguousarray(array, dtype).view()
    view.flags.writeable = False
    return view


def _parts(starts: Array, edges: int) -> list[tuple[int, int]]:
    """Cut the nodes where their segments start to reach another share of the edges."""
    count = min(MOST_PARTS, edges // PART_EDGES + 1)
    if not len(starts):
        return []
    span = starts[0] + (starts[-1] - starts[0]) * np.arange(1, count) / count
    cuts = [0, *np.searchsorted(starts, span).tolist(), len(starts)]
    return list(pairwise(cuts))


def _each(parts: list[tuple[int, int]], work: Callable[..., None], *arguments: Any) -> None:
    """Run compiled, lock-free work on every part, in as many threads as numba would use."""
    if len(parts) == 1:
        return work(parts[0], *arguments)
    with ThreadPoolExecutor(thread_count()) as pool:
        for done in [pool.submit(work, part, *arguments) for part in parts]:
            done.result()


DIGIT = 11


@kernel()
def _pass(keys: Any, rows: Any, out: Any, low: Any, shift: Any) -> None:
    """Sort `rows` stably by one digit of ``keys[rows] - low`` into `out`."""
    mask = np.uint64((1 << DIGIT) - 1)
    start = np.zeros((1 << DIGIT) + 1, np.int64)
    for i in range(keys.shape[0]):
        start[((np.uint64(keys[i] - low) >> np.uint64(shift)) & mask) + np.uint64(1)] += 1
    for d in range(1 << DIGIT):
        start[d + 1] += start[d]
    for i in range(rows.shape[0]):
        row = rows[i]
        digit = (np.uint64(keys[row] - low) >> np.uint64(shift)) & mask
        out[start[digit]] = row
        start[digit] += 1


def order(columns: Sequence[npt.NDArray[np.integer]]) -> npt.NDArray[np.int64]:
    """Return the rows in lexicographic order; see :func:`graphrec_pt.kernels.fill.order`."""
    rows = np.arange(len(columns[0]), dtype=np.int64)
    if not len(rows):
        return rows
    spare = np.empty_like(rows)
    for column in reversed(columns):
        low, high = int(column.min()), int(column.max())
        for shift in range(0, (high - low).bit_length(), DIGIT):
            _pass(column, rows, spare, column.dtype.type(low), shift)
            rows, spare = spare, rows
    return rows

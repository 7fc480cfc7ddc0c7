"""Walks with restarts, weights, exclusions or times: a block of walkers tries, then scans."""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from numba import prange, uint32

from graphrec_pt.kernels.csr import SegmentedCSR
from graphrec_pt.kernels.numba.choice import (
    optional,
    search_near,
    uniform_choice,
    unit,
    weighted_range,
    youngest_from,
)
from graphrec_pt.kernels.numba.compile import inlined, kernel
from graphrec_pt.kernels.numba.philox import four_words
from graphrec_pt.kernels.numba.segments import array, node_segments, prefetch, relation_of
from graphrec_pt.kernels.torch.walk import FINE
from graphrec_pt.kernels.walk import LAST_BLOCK, REPEAT_SHIFT, TRY_BITS, WalkPlan

BLOCK = 64
EVERY = 1 << 32


class Choices(NamedTuple):
    """What a hop may take, as numpy arrays; an array that is not asked for is empty."""

    time: npt.NDArray[Any]
    weight: npt.NDArray[Any]
    edge: npt.NDArray[Any]
    cumulative: npt.NDArray[Any]
    targets: npt.NDArray[Any]
    after: npt.NDArray[Any]
    exclude: npt.NDArray[Any]
    back: int
    near: int
    far: int
    restart: int
    tries: int
    timed: bool
    weighted: bool
    biased: bool
    excluding: bool


def choices(csr: SegmentedCSR, plan: WalkPlan) -> Choices:
    """Return the plan as compiled functions take it."""
    index = csr.indices.dtype
    back, near, far = plan.bias or (EVERY, EVERY, EVERY)
    return Choices(
        time=optional(csr.time, torch.int64),
        weight=optional(csr.weight, torch.float32),
        edge=optional(csr.edge, index),
        cumulative=optional(plan.cumulative, torch.float64),
        targets=optional(plan.targets, index),
        after=array(plan.after),
        exclude=optional(plan.exclude, torch.int64),
        back=back,
        near=near,
        far=far,
        restart=plan.restart,
        tries=plan.tries,
        timed=plan.timed,
        weighted=plan.cumulative is not None,
        biased=plan.bias is not None,
        excluding=plan.exclude is not None,
    )


@inlined
def _segments(csr: Any, node: Any, slot: Any) -> Any:
    """Return the range of segments that `slot` (−1: any) means at a node, and its first one."""
    first, count = node_segments(csr, node)
    if slot < 0:
        return first, first + count, first
    return first + slot, first + slot + (1 if slot < count else 0), first


@inlined
def _guess(csr: Any, start: Any, end: Any, node: Any) -> Any:
    """Return where a node would stand among the sorted targets if they were spread evenly."""
    kind = 0
    while node >= csr.offset[kind + 1]:
        kind += 1
    low, high = csr.offset[kind], csr.offset[kind + 1]
    return start + np.int64(np.float64(node - low) / (high - low) * (end - start))


@inlined
def _adjacent(csr: Any, targets: Any, source: Any, target: Any) -> Any:
    """Say whether `source` has an edge to `target` in any relation."""
    first, count = node_segments(csr, source)
    hit = False
    for k in range(first, first + count):
        start, end = csr.segment[k], csr.segment[k + 1]
        guess = _guess(csr, start, end, target)
        place = search_near(targets, start, end, guess, 0, target - 1)
        hit = hit or (place < end and targets[place] == target)
    return hit


@kernel()
def _limit(csr: Any, given: Any, edge: Any, previous: Any, banned: Any) -> Any:
    """Return how many of 2**32 words accept a candidate edge."""
    if given.excluding and banned >= 0 and given.edge[edge] == banned:
        return 0
    if not given.biased or previous < 0:
        return EVERY
    target = np.int64(csr.indices[edge])
    if target == previous:
        return np.int64(given.back)
    return np.int64(given.near if _adjacent(csr, given.targets, previous, target) else given.far)


@kernel()
def _mass(csr: Any, given: Any, edge: Any, previous: Any, banned: Any, largest: Any) -> Any:
    """Return the integer mass of an edge in the exact distribution."""
    mass = _limit(csr, given, edge, previous, banned) >> 16
    if mass > 0 and given.weighted:
        share = np.float64(given.weight[edge]) / largest * FINE if largest > 0 else 0.0
        mass *= np.int64(share)
    return mass


@kernel()
def _scan(
    csr: Any,
    given: Any,
    first: Any,
    last: Any,
    since: Any,
    previous: Any,
    banned: Any,
    share: Any,
) -> Any:
    """Choose among all allowed edges by integer masses; −1 when there is none."""
    largest: Any = 0.0
    total, goal, running = 0, 0, 0
    for turn in range(3):  # the largest weight, the whole mass, the choice
        for k in range(first, last):
            start, end = csr.segment[k], csr.segment[k + 1]
            if given.timed:
                start = youngest_from(given.time, start, end, since)
            for edge in range(start, end):
                if turn == 0:
                    if given.weighted and _limit(csr, given, edge, previous, banned) > 0:
                        largest = max(largest, np.float64(given.weight[edge]))
                    continue
                mass = _mass(csr, given, edge, previous, banned, largest)
                total += mass if turn == 1 else 0
                running += mass if turn == 2 else 0
                if turn == 2 and running > goal:
                    return edge
        if turn == 1:
            goal = min(int(share * np.float64(total)), total - 1)
            if total == 0:
                return -1
    return -1


@kernel()
def _weigh(
    csr: Any, given: Any, low: Any, last: Any, begin: Any, since: Any, bits: Any, size: Any
) -> None:
    """Replace the first segment of every walker in `low` by its weighted choice, −1 for none."""
    high, skipped = np.empty(BLOCK, np.int64), np.empty(BLOCK, np.float64)
    rest, slope = np.empty(BLOCK, np.float64), np.empty(BLOCK, np.float64)
    guess = np.empty(BLOCK, np.int64)
    for j in range(size):
        prefetch(given.cumulative, csr.segment[last[j]] - 1)
    for j in range(size):
        low[j], high[j], skipped[j], rest[j], mass = weighted_range(
            csr.segment, given.time, given.cumulative, csr.segment[begin[j]], low[j], last[j],
            given.timed, since[j], unit(bits[2, j], bits[3, j]),
        )  # fmt: skip
        slope[j] = (high[j] - low[j]) / mass
        guess[j] = low[j] + np.int64(rest[j] * slope[j])
        prefetch(given.cumulative, guess[j])
    for j in range(size):
        if low[j] < high[j]:
            guess[j] = min(guess[j], high[j] - 1)
            gap = rest[j] - (given.cumulative[guess[j]] - skipped[j])
            guess[j] += np.int64(gap * slope[j])
            prefetch(given.cumulative, guess[j])
    for j in range(size):
        low[j] = search_near(given.cumulative, low[j], high[j], guess[j], skipped[j], rest[j])


@kernel()
def _walk_block(
    csr: Any,
    given: Any,
    table: Any,
    roots: Any,
    repeats: Any,
    slots: Any,
    words: Any,
    nodes: Any,
    position: Any,
    relation: Any,
    row: Any,
) -> None:
    """Walk the block of walkers that begins at a row, hop by hop and try by try."""
    size = min(BLOCK, nodes.shape[0] - row)
    item, turn = np.empty(BLOCK, np.uint32), np.empty(BLOCK, np.uint32)
    drawn, blocks = np.empty(BLOCK, np.uint32), np.empty(BLOCK, np.uint32)
    bits = np.empty((4, BLOCK), np.uint32)
    node, previous = np.empty(BLOCK, np.int64), np.empty(BLOCK, np.int64)
    since, banned = np.empty(BLOCK, np.int64), np.empty(BLOCK, np.int64)
    left = np.empty(BLOCK, np.int64)  # walkers that have not chosen yet
    low, last, begin = (
        np.empty(BLOCK, np.int64),
        np.empty(BLOCK, np.int64),
        np.empty(BLOCK, np.int64),
    )
    after = np.empty(BLOCK, np.int64)
    for i in range(size):
        owner = (row + i) // repeats
        node[i] = nodes[row + i, 0] = roots[owner]
        item[i], turn[i] = uint32(node[i]), uint32(((row + i) % repeats) << REPEAT_SHIFT)
        previous[i], since[i] = -1, given.after[owner]
        banned[i] = given.exclude[owner] if given.excluding else -1
    for hop in range(slots.shape[0]):
        slot, waiting = slots[hop], 0
        for i in range(size):
            position[row + i, hop] = nodes[row + i, hop + 1] = -1
            if node[i] >= 0:
                left[waiting] = i
                waiting += 1
                prefetch(csr.segment, node_segments(csr, node[i])[0])
        for attempt in range(given.tries):
            if waiting == 0:
                break
            step = uint32((hop << TRY_BITS) | attempt)
            for j in range(waiting):
                drawn[j], blocks[j] = item[left[j]], turn[left[j]] | step
            for j in range(waiting):
                a, b, c, d = four_words(words, drawn[j], blocks[j])
                bits[0, j], bits[1, j], bits[2, j], bits[3, j] = a, b, c, d
            if attempt == 0 and given.restart > 0:
                staying = 0
                for j in range(waiting):
                    i = left[j]
                    if bits[0, j] < given.restart:
                        nodes[row + i, hop + 1] = item[i]
                        since[i] = given.after[(row + i) // repeats]
                        previous[i] = -1
                    else:
                        left[staying] = i
                        for lane in range(1, 4):
                            bits[lane, staying] = bits[lane, j]
                        staying += 1
                waiting = staying
            for j in range(waiting):
                i = left[j]
                low[j], last[j], begin[j] = _segments(csr, node[i], slot)
                after[j] = since[i]
                if not given.weighted:
                    low[j] = uniform_choice(
                        csr.segment, given.time, low[j], last[j], given.timed, after[j], bits[2, j]
                    )
            if given.weighted:
                _weigh(csr, given, low, last, begin, after, bits, np.int64(waiting))
            for j in range(waiting):
                prefetch(csr.indices, low[j])
                if given.excluding:
                    prefetch(given.edge, low[j])
                if given.timed:
                    prefetch(given.time, low[j])
            refused = 0
            if given.biased:
                for j in range(waiting):
                    if low[j] >= 0 and previous[left[j]] >= 0:
                        source, target = previous[left[j]], np.int64(csr.indices[low[j]])
                        first, count = node_segments(csr, source)
                        for k in range(first, first + count):
                            start, end = csr.segment[k], csr.segment[k + 1]
                            prefetch(given.targets, _guess(csr, start, end, target))
            for j in range(waiting):
                i, edge = left[j], low[j]
                if edge < 0:
                    continue
                accepted = True
                if given.biased and previous[i] >= 0:
                    target, word = np.int64(csr.indices[edge]), np.int64(bits[1, j])
                    if target == previous[i]:
                        accepted = word < given.back
                    elif word < min(given.near, given.far):
                        accepted = True  # whatever the previous node's neighbours are
                    elif word >= max(given.near, given.far):
                        accepted = False
                    else:
                        near = _adjacent(csr, given.targets, previous[i], target)
                        accepted = near == (given.near > given.far)
                if given.excluding and banned[i] >= 0 and given.edge[edge] == banned[i]:
                    accepted = False
                if accepted:
                    position[row + i, hop] = edge
                    nodes[row + i, hop + 1] = csr.indices[edge]
                else:
                    left[refused] = i
                    refused += 1
            waiting = refused
        for j in range(waiting):
            i = left[j]
            step = uint32((hop << TRY_BITS) | LAST_BLOCK)
            _, _, c, d = four_words(words, item[i], turn[i] | step)
            first, end, _ = _segments(csr, node[i], slot)
            edge = _scan(csr, given, first, end, since[i], previous[i], banned[i], unit(c, d))
            if edge >= 0:
                position[row + i, hop] = edge
                nodes[row + i, hop + 1] = csr.indices[edge]
        for i in range(size):
            edge = position[row + i, hop]
            if table.shape[0] > 0:
                relation[row + i, hop] = -1
                if edge >= 0:
                    first, _ = node_segments(csr, node[i])
                    relation[row + i, hop] = relation_of(
                        csr, table, node[i], first, first + max(slot, 0), slot, edge
                    )
            if edge >= 0:
                previous[i] = node[i]
                if given.timed:
                    since[i] = given.time[edge]
            node[i] = nodes[row + i, hop + 1]


@kernel(parallel=True)
def walk_choosing(
    csr: Any,
    given: Any,
    table: Any,
    roots: Any,
    repeats: Any,
    slots: Any,
    words: Any,
    nodes: Any,
    position: Any,
    relation: Any,
) -> None:
    """Walk with every option; the draws are those of :mod:`graphrec_pt.kernels.torch.walk`."""
    for block in prange((nodes.shape[0] + BLOCK - 1) // BLOCK):
        row = block * BLOCK
        _walk_block(csr, given, table, roots, repeats, slots, words, nodes, position, relation, row)

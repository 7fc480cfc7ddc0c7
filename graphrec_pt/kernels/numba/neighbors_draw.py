"""Drawing the edges of one cell in compiled loops; the draws are those of the torch body."""

from typing import Any

import numpy as np

from graphrec_pt.kernels.neighbors import SPARE
from graphrec_pt.kernels.numba.choice import search_near, unit
from graphrec_pt.kernels.numba.compile import inlined, kernel
from graphrec_pt.kernels.numba.philox import below, four_words
from graphrec_pt.kernels.torch.choice import UNDER_ONE


@inlined
def _position(csr: Any, first: Any, last: Any, ends: Any, rank: Any) -> Any:
    """Return the edge position of a rank among the eligible edges."""
    k = first
    while k < last - 1 and rank >= ends[k - first] - csr.segment[k]:
        rank -= ends[k - first] - csr.segment[k]
        k += 1
    return csr.segment[k] + rank


@kernel()
def take_all(
    csr: Any,
    edge_ids: Any,
    cumulative: Any,
    begin: Any,
    first: Any,
    last: Any,
    ends: Any,
    banned: Any,
    out: Any,
) -> Any:
    """Write every eligible edge that has weight and is not banned; return how many."""
    count = 0
    for k in range(first, last):
        for edge in range(csr.segment[k], ends[k - first]):
            if banned >= 0 and edge_ids[edge] == banned:
                continue
            if cumulative.shape[0] > 0:
                below_ = cumulative[edge - 1] if edge > begin else 0.0
                if not cumulative[edge] - below_ > 0:
                    continue
            out[count] = edge
            count += 1
    return count


@kernel()
def draw_uniform(
    csr: Any,
    edge_ids: Any,
    first: Any,
    last: Any,
    ends: Any,
    size: Any,
    banned: Any,
    item: Any,
    block: Any,
    words: Any,
    replace: Any,
    taken: Any,
    out: Any,
) -> Any:
    """Draw ranks that are not taken; `taken` ascends."""
    count, held = 0, 0
    bits = four_words(words, item, block)
    for number in range(out.shape[0] + SPARE):
        if number & 3 == 0 and number > 0:
            bits = four_words(words, item, block + (number >> 2))
        if count == out.shape[0] or held == size:
            break
        lane = number & 3
        word = (
            (bits[0] if lane == 0 else bits[1]) if lane < 2 else (bits[2] if lane == 2 else bits[3])
        )
        rank = below(word, size - held)
        place = 0
        while place < held and taken[place] <= rank:
            rank += 1
            place += 1
        refused = banned >= 0 and edge_ids[_position(csr, first, last, ends, rank)] == banned
        if not refused:
            if replace:
                out[count] = _position(csr, first, last, ends, rank)
            count += 1
        if refused or not replace:
            for i in range(held, place, -1):
                taken[i] = taken[i - 1]
            taken[place] = rank
            held += 1
    if not replace:
        count = 0
        for i in range(held):
            edge = _position(csr, first, last, ends, taken[i])
            if banned < 0 or edge_ids[edge] != banned:
                out[count] = edge
                count += 1
    return count


@kernel()
def draw_weighted(
    csr: Any,
    edge_ids: Any,
    cumulative: Any,
    begin: Any,
    first: Any,
    last: Any,
    ends: Any,
    banned: Any,
    item: Any,
    block: Any,
    words: Any,
    replace: Any,
    taken: Any,
    weights: Any,
    out: Any,
) -> Any:
    """Draw edges by the weight that is left; `taken` ascends, `weights` says where each lies."""
    left = 0.0
    for k in range(first, last):
        start, end = csr.segment[k], ends[k - first]
        if end > start:
            left += cumulative[end - 1] - (cumulative[start - 1] if start > begin else 0.0)
    count, held = 0, 0
    for number in range(out.shape[0] + SPARE):
        if count == out.shape[0] or not left > 0:
            break
        a, b, c, d = four_words(words, item, block + (number >> 1))
        goal = (unit(a, b) if number & 1 == 0 else unit(c, d)) * left
        for i in range(held):
            if weights[0, i] <= goal:
                goal += weights[1, i]
        passed, edge, where, weight = 0.0, np.int64(-1), 0.0, 0.0
        for k in range(first, last):
            start, end = csr.segment[k], ends[k - first]
            if end <= start:
                continue
            skipped = cumulative[start - 1] if start > begin else 0.0
            mass = cumulative[end - 1] - skipped
            if goal < passed + mass:
                rest = min(goal - passed, mass * UNDER_ONE)
                guess = start + np.int64(rest / mass * (end - start))
                edge = search_near(cumulative, start, end, guess, skipped, rest)
                before = (cumulative[edge - 1] if edge > begin else 0.0) - skipped
                where, weight = passed + before, cumulative[edge] - skipped - before
                break
            passed += mass
        if edge < 0:
            continue
        place = 0
        while place < held and taken[place] < edge:
            place += 1
        if place < held and taken[place] == edge:
            continue  # rounding led back to a taken edge
        refused = banned >= 0 and edge_ids[edge] == banned
        if not refused:
            if replace:
                out[count] = edge
            count += 1
        if refused or not replace:
            for i in range(held, place, -1):
                taken[i] = taken[i - 1]
                weights[0, i], weights[1, i] = weights[0, i - 1], weights[1, i - 1]
            taken[place], weights[0, place], weights[1, place] = edge, where, weight
            left -= weight
            held += 1
    if not replace:
        count = 0
        for i in range(held):
            if banned < 0 or edge_ids[taken[i]] != banned:
                out[count] = taken[i]
                count += 1
    return count


@kernel()
def draw_side_by_side(
    words: Any, item: Any, block: Any, size: Any, fanout: Any, cells: Any, taken: Any
) -> None:
    """Draw `fanout` distinct ranks of many cells at once, an instruction for several cells.

    Args:
        words: Two seed words, stream and epoch.
        item: uint32 ``[cells]``.
        block: uint32 ``[cells]``, the first block of each cell.
        size: int64 ``[cells]``, how many ranks there are, more than `fanout`.
        fanout: Ranks to draw.
        cells: How many cells.
        taken: int64 ``[fanout, cells]``, filled with ranks that ascend in every cell.
    """
    bits = np.empty((4, cells), np.uint32)
    rank = np.empty(cells, np.int64)
    for number in range(fanout):
        if number & 3 == 0:
            for c in range(cells):
                a, b, c2, d = four_words(words, item[c], block[c] + np.uint32(number >> 2))
                bits[0, c], bits[1, c], bits[2, c], bits[3, c] = a, b, c2, d
        lane = bits[number & 3]
        for c in range(cells):
            rank[c] = below(lane[c], size[c] - number)
        for i in range(number):
            # Step over smaller ranks; from the first larger one on, push each up by one place.
            row = taken[i]
            for c in range(cells):
                other, mine = row[c], rank[c]
                steps = other <= mine
                row[c] = other if steps else mine
                rank[c] = mine + 1 if steps else other
        taken[number, :cells] = rank

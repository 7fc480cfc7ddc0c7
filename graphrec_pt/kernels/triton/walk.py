"""Random walks in Triton, one lane a walker; the draws are those of the torch body."""

import torch
import triton
import triton.language as tl
from torch import Tensor

from graphrec_pt.kernels.csr import SegmentedCSR
from graphrec_pt.kernels.triton.choice import (
    eligible,
    lower_bound,
    node_segments,
    pick_uniform,
    pick_weighted,
    unit,
)
from graphrec_pt.kernels.triton.philox import four_words
from graphrec_pt.kernels.walk import LAST_BLOCK, REPEAT_SHIFT, TRY_BITS, WalkPlan

BLOCK = 128
EVERY = 1 << 32


def walk(csr: SegmentedCSR, plan: WalkPlan) -> tuple[Tensor, Tensor, Tensor]:
    """Walk; see :func:`graphrec_pt.kernels.walk.walk`."""
    walks = len(plan.roots) * plan.repeats
    nodes = plan.roots.new_empty((walks, plan.length + 1))
    position = plan.roots.new_empty((walks, plan.length))
    known = plan.relations is not None
    relation = plan.roots.new_empty((walks, plan.length if known else 0))
    if not walks:
        return nodes, position, relation
    back, near, far = plan.bias or (EVERY, EVERY, EVERY)
    numbers = torch.tensor([*plan.words, plan.restart, back, near, far])
    options = (
        csr.time,
        csr.weight,
        csr.edge,
        plan.cumulative,
        plan.targets,
        plan.exclude,
        plan.relations,
    )
    spare = csr.segment  # stands in for an array that is not read
    time, weight, edge, cumulative, targets, exclude, table = (
        spare if array is None else array.contiguous() for array in options
    )
    most = int(csr.slots.max())
    _walk[(triton.cdiv(walks, BLOCK),)](
        csr.offset.contiguous(),
        csr.slots.contiguous(),
        csr.base.contiguous(),
        csr.segment.contiguous(),
        csr.indices.contiguous(),
        time,
        weight,
        edge,
        cumulative,
        targets,
        plan.roots,
        plan.after.contiguous(),
        exclude,
        plan.slots,
        numbers.to(csr.indices.device),
        table,
        nodes,
        position,
        relation,
        walks,
        plan.repeats,
        plan.length,
        len(csr.slots),
        most,
        max(csr.num_edges.bit_length(), 1),
        plan.tries,
        0 if plan.relations is None else plan.relations.shape[1],
        plain=plan.plain,
        timed=plan.timed,
        weighted=plan.cumulative is not None,
        biased=plan.bias is not None,
        excluding=plan.exclude is not None,
        related=plan.relations is not None,
        repeat_shift=REPEAT_SHIFT,
        try_bits=TRY_BITS,
        last_block=LAST_BLOCK,
        size=BLOCK,
        enable_fp_fusion=False,  # products are rounded before they are added, as elsewhere
    )
    return nodes, position, relation


@triton.jit  # type: ignore[untyped-decorator]
def _limit(
    offset: tl.tensor,
    slots: tl.tensor,
    base: tl.tensor,
    segment: tl.tensor,
    indices: tl.tensor,
    edge_ids: tl.tensor,
    targets: tl.tensor,
    numbers: tl.tensor,
    edge: tl.tensor,
    valid: tl.tensor,
    previous: tl.tensor,
    banned: tl.tensor,
    types: tl.tensor,
    most: tl.tensor,
    steps: tl.tensor,
    biased: tl.constexpr,
    excluding: tl.constexpr,
) -> tl.tensor:
    """Return how many of 2**32 words accept each candidate edge: int64 block."""
    limit = tl.zeros_like(edge) + 4294967296
    if biased:
        back, near, far = tl.load(numbers + 5), tl.load(numbers + 6), tl.load(numbers + 7)
        target = tl.load(indices + edge, mask=valid, other=0).to(tl.int64)
        source = tl.maximum(previous, 0)
        first, count = node_segments(offset, slots, base, types, source)
        hit = tl.zeros_like(edge)
        for k in range(most):
            here = valid & (k < count) & (previous >= 0)
            start = tl.load(segment + first + k, mask=here, other=0)
            end = tl.load(segment + first + k + 1, mask=here, other=0)
            place = lower_bound(targets, start, end, target, steps)
            inside = here & (place < end)
            neighbor = tl.load(targets + place, mask=inside, other=-1).to(tl.int64)
            hit = hit | (inside & (neighbor == target)).to(tl.int64)
        biased_limit = tl.where(hit > 0, near, far)
        biased_limit = tl.where(target == previous, back, biased_limit)
        limit = tl.where(previous >= 0, biased_limit, limit)
    if excluding:
        number = tl.load(edge_ids + edge, mask=valid, other=-1).to(tl.int64)
        limit = tl.where((banned >= 0) & (number == banned), 0, limit)
    return limit


@triton.jit  # type: ignore[untyped-decorator]
def _walk(
    offset: tl.tensor,
    slots: tl.tensor,
    base: tl.tensor,
    segment: tl.tensor,
    indices: tl.tensor,
    time: tl.tensor,
    weight: tl.tensor,
    edge_ids: tl.tensor,
    cumulative: tl.tensor,
    targets: tl.tensor,
    roots: tl.tensor,
    after: tl.tensor,
    exclude: tl.tensor,
    hops: tl.tensor,
    numbers: tl.tensor,
    table: tl.tensor,
    nodes: tl.tensor,
    position: tl.tensor,
    relation: tl.tensor,
    walks: tl.tensor,
    repeats: tl.tensor,
    length: tl.tensor,
    types: tl.tensor,
    most: tl.tensor,
    steps: tl.tensor,
    tries: tl.tensor,
    columns: tl.tensor,
    plain: tl.constexpr,
    timed: tl.constexpr,
    weighted: tl.constexpr,
    biased: tl.constexpr,
    excluding: tl.constexpr,
    related: tl.constexpr,
    repeat_shift: tl.constexpr,
    try_bits: tl.constexpr,
    last_block: tl.constexpr,
    size: tl.constexpr,
) -> None:
    row = tl.program_id(0).to(tl.int64) * size + tl.arange(0, size)
    inside = row < walks
    root = tl.load(roots + row // repeats, mask=inside, other=0)
    turn = (row % repeats) << repeat_shift
    start_time = tl.load(after + row // repeats, mask=inside, other=0)
    since = start_time
    banned = tl.zeros_like(row) - 1
    if excluding:
        banned = tl.load(exclude + row // repeats, mask=inside, other=-1)
    node, previous = tl.where(inside, root, -1), tl.zeros_like(row) - 1
    tl.store(nodes + row * (length + 1), root, mask=inside)
    ranges = 1
    if timed:
        ranges = most
    for hop in range(length):
        slot = tl.load(hops + hop)
        alive = node >= 0
        here = tl.maximum(node, 0)
        begin, count = node_segments(offset, slots, base, types, here)
        begin_edge = tl.load(segment + begin, mask=alive, other=0)
        first = begin + tl.maximum(slot, 0)
        last = tl.where(slot < 0, begin + count, first + (slot < count).to(tl.int64))
        last = tl.where(alive, last, first)
        taken = tl.zeros_like(row) - 1
        home = row < 0
        if plain:
            a, b, c, d = four_words(numbers, root, turn | (hop >> 2))
            lane = hop & 3
            word = tl.where(lane < 2, tl.where(lane == 0, a, b), tl.where(lane == 2, c, d))
            taken = pick_uniform(segment, time, first, last, since, word, 1, steps, timed)
        else:
            block = turn | (hop << try_bits)
            a, b, c, d = four_words(numbers, root, block)
            home = alive & (a < tl.load(numbers + 4))
            left = alive & ~home
            attempt = 0
            while (attempt < tries) & (tl.max(left.to(tl.int32), axis=0) > 0):
                _, b, c, d = four_words(numbers, root, block + attempt)
                if weighted:
                    edge = pick_weighted(
                        segment, time, cumulative, begin_edge, first, last, since, unit(c, d),
                        ranges, steps, timed,
                    )  # fmt: skip
                else:
                    edge = pick_uniform(segment, time, first, last, since, c, ranges, steps, timed)
                left = left & (edge >= 0)
                limit = _limit(
                    offset, slots, base, segment, indices, edge_ids, targets, numbers, edge, left,
                    previous, banned, types, most, steps, biased, excluding,
                )  # fmt: skip
                accepted = left & (b < limit)
                taken = tl.where(accepted, edge, taken)
                left = left & ~accepted
                attempt += 1
            if tl.max(left.to(tl.int32), axis=0) > 0:
                # Three passes over every allowed edge: largest weight, whole mass, choice.
                _, b, c, d = four_words(numbers, root, block + last_block)
                largest = tl.zeros([size], tl.float64)
                total, running = tl.zeros_like(row), tl.zeros_like(row)
                goal = tl.zeros_like(row)
                for stage in range(3):
                    for k in range(ranges):
                        start, end = eligible(segment, time, first, last, k, since, steps, timed)
                        start = tl.where(left, start, 0)
                        end = tl.where(left, end, 0)
                        while tl.max((start < end).to(tl.int32), axis=0) > 0:
                            valid = start < end
                            limit = _limit(
                                offset, slots, base, segment, indices, edge_ids, targets, numbers,
                                start, valid, previous, banned, types, most, steps, biased,
                                excluding,
                            )  # fmt: skip
                            mass = tl.where(valid, limit >> 16, 0)
                            if weighted:
                                value = tl.load(weight + start, mask=valid & (limit > 0), other=0.0)
                                value = value.to(tl.float64)
                                if stage == 0:
                                    largest = tl.maximum(largest, value)
                                share = value / tl.where(largest > 0, largest, 1.0)
                                mass = mass * (share * 65536).to(tl.int64)
                            if stage == 1:
                                total += mass
                            if stage == 2:
                                running += mass
                                chosen = valid & (taken < 0) & (running > goal) & (total > 0)
                                taken = tl.where(chosen & left, start, taken)
                            start += 1
                    if stage == 1:
                        product = unit(c, d) * total.to(tl.float64)
                        goal = tl.minimum(product.to(tl.int64), total - 1)
        moved = alive & (taken >= 0)
        arrived = tl.load(indices + taken, mask=moved, other=-1).to(tl.int64)
        if timed:
            when = tl.load(time + taken, mask=moved, other=0)
            since = tl.where(moved, when, tl.where(home, start_time, since))
        if related:
            kind, slot_taken = tl.zeros_like(row), tl.zeros_like(row)
            for k in range(1, types):
                kind += (here >= tl.load(offset + k)).to(tl.int64)
            for k in range(1, most):
                inner = moved & (k < count)
                start = tl.load(segment + begin + k, mask=inner, other=0)
                slot_taken += (inner & (start <= taken)).to(tl.int64)
            if slot >= 0:
                slot_taken = tl.zeros_like(row) + slot
            number = tl.load(table + kind * columns + slot_taken, mask=moved, other=-1)
            tl.store(relation + row * length + hop, number, mask=inside)
        previous = tl.where(moved, node, -1)
        node = tl.where(moved, arrived, tl.where(home, root, -1))
        tl.store(nodes + row * (length + 1) + hop + 1, node, mask=inside)
        tl.store(position + row * length + hop, tl.where(moved, taken, -1), mask=inside)

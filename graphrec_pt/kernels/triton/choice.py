"""Choosing one edge of a node on a GPU: binary search, uniform or weighted choice."""

import triton
import triton.language as tl

from graphrec_pt.kernels.triton.philox import below


@triton.jit  # type: ignore[untyped-decorator]
def lower_bound(
    ascending: tl.tensor, start: tl.tensor, end: tl.tensor, value: tl.tensor, steps: tl.tensor
) -> tl.tensor:
    """Return the first place in each ``[start, end)`` that is not below `value`, else `end`.

    Args:
        ascending: Pointer to values that ascend inside every range.
        start: Block of int64.
        end: Block of int64.
        value: Block of int64.
        steps: Bits of the longest range.
    """
    low, high = start, end
    for _ in range(steps):
        open_ = low < high
        middle = (low + high) >> 1
        probe = tl.load(ascending + middle, mask=open_, other=0).to(tl.int64)
        low, high = (
            tl.where(open_ & (probe < value), middle + 1, low),
            tl.where(open_ & (probe >= value), middle, high),
        )
    return low


# A range is a segment, or without times all segments of a node at once.


@triton.jit  # type: ignore[untyped-decorator]
def node_segments(
    offset: tl.tensor, slots: tl.tensor, base: tl.tensor, types: tl.tensor, node: tl.tensor
) -> tl.tensor:
    """Return the first segment of each node and how many it has: two int64 blocks."""
    first, count = tl.zeros_like(node), tl.zeros_like(node)
    for kind in range(types):
        low, high = tl.load(offset + kind), tl.load(offset + kind + 1)
        width, begin = tl.load(slots + kind), tl.load(base + kind)
        inside = (node >= low) & (node < high)
        first = tl.where(inside, begin + (node - low) * width, first)
        count = tl.where(inside, width, count)
    return first, count


@triton.jit  # type: ignore[untyped-decorator]
def eligible(
    segment: tl.tensor,
    time: tl.tensor,
    first: tl.tensor,
    last: tl.tensor,
    k: tl.tensor,
    since: tl.tensor,
    steps: tl.tensor,
    timed: tl.constexpr,
) -> tl.tensor:
    """Return range `k` of the segments ``[first, last)``, without edges older than `since`."""
    here = first + k < last
    if timed:
        start = tl.load(segment + first + k, mask=here, other=0)
        end = tl.load(segment + first + k + 1, mask=here, other=0)
        start = lower_bound(time, start, end, since, steps)
    else:
        start = tl.load(segment + first, mask=here, other=0)
        end = tl.load(segment + last, mask=here, other=0)
    return start, end


@triton.jit  # type: ignore[untyped-decorator]
def unit(high: tl.tensor, low: tl.tensor) -> tl.tensor:
    """Return 53 random bits of two words as float64 in [0, 1)."""
    return ((high << 21) | (low >> 11)).to(tl.float64) * 1.1102230246251565e-16  # 2**-53


@triton.jit  # type: ignore[untyped-decorator]
def pick_uniform(
    segment: tl.tensor,
    time: tl.tensor,
    first: tl.tensor,
    last: tl.tensor,
    since: tl.tensor,
    word: tl.tensor,
    most: tl.tensor,
    steps: tl.tensor,
    timed: tl.constexpr,
) -> tl.tensor:
    """Return a uniform eligible edge of each node: int64 block, −1 where there is none."""
    total = tl.zeros_like(first)
    for k in range(most):
        start, end = eligible(segment, time, first, last, k, since, steps, timed)
        total += end - start
    rank = below(word, total)
    edge = tl.zeros_like(first) - 1
    passed = tl.zeros_like(first)
    for k in range(most):
        start, end = eligible(segment, time, first, last, k, since, steps, timed)
        through = passed + end - start
        inside = (rank >= passed) & (rank < through)
        edge = tl.where(inside, start + rank - passed, edge)
        passed = through
    return edge


@triton.jit  # type: ignore[untyped-decorator]
def range_mass(
    cumulative: tl.tensor, begin: tl.tensor, start: tl.tensor, end: tl.tensor
) -> tl.tensor:
    """Return the running weight before each range and the weight of the range."""
    filled = end > start
    skipped = tl.load(cumulative + start - 1, mask=filled & (start > begin), other=0.0)
    reached = tl.load(cumulative + end - 1, mask=filled, other=0.0)
    return skipped, reached - skipped


@triton.jit  # type: ignore[untyped-decorator]
def pick_weighted(
    segment: tl.tensor,
    time: tl.tensor,
    cumulative: tl.tensor,
    begin: tl.tensor,
    first: tl.tensor,
    last: tl.tensor,
    since: tl.tensor,
    share: tl.tensor,
    most: tl.tensor,
    steps: tl.tensor,
    timed: tl.constexpr,
) -> tl.tensor:
    """Return an eligible edge of each node by weight: int64 block, −1 where nothing has weight."""
    total = tl.zeros_like(share)
    for k in range(most):
        start, end = eligible(segment, time, first, last, k, since, steps, timed)
        _, mass = range_mass(cumulative, begin, start, end)
        total += mass
    goal = share * total
    passed = tl.zeros_like(share)
    edge = tl.zeros_like(first) - 1
    for k in range(most):
        start, end = eligible(segment, time, first, last, k, since, steps, timed)
        skipped, mass = range_mass(cumulative, begin, start, end)
        through = passed + mass
        inside = (edge < 0) & (goal < through)
        rest = tl.minimum(goal - passed, mass * 0.9999999999999999)  # 1 - 2**-53
        place = exceeds(cumulative, start, tl.where(inside, end, start), skipped, rest, steps)
        edge = tl.where(inside, place, edge)
        passed = through
    return edge


@triton.jit  # type: ignore[untyped-decorator]
def exceeds(
    cumulative: tl.tensor,
    start: tl.tensor,
    end: tl.tensor,
    skipped: tl.tensor,
    rest: tl.tensor,
    steps: tl.tensor,
) -> tl.tensor:
    """Return the first place in each ``[start, end)`` whose running weight exceeds `rest`."""
    low, high = start, end
    for _ in range(steps):
        open_ = low < high
        middle = (low + high) >> 1
        value = tl.load(cumulative + middle, mask=open_, other=0.0) - skipped
        low, high = (
            tl.where(open_ & (value <= rest), middle + 1, low),
            tl.where(open_ & (value > rest), middle, high),
        )
    return low

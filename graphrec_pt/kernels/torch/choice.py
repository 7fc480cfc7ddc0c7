"""The eligible edges of a node, and a uniform or weighted choice among them."""

from typing import NamedTuple

import torch
from torch import Tensor

from graphrec_pt.kernels.csr import SegmentedCSR
from graphrec_pt.kernels.philox import below
from graphrec_pt.kernels.torch.segments import lower_bound

UNDER_ONE = 1 - 2**-53  # keeps a rounded remainder inside its range


class Ranges(NamedTuple):
    """Eligible edges of nodes, as K ranges of positions each.

    Args:
        start: int64 ``[n, K]``.
        end: int64 ``[n, K]``; not above `start` where a range is empty.
        first: int64 ``[n]``, where the node's running weights begin.
    """

    start: Tensor
    end: Tensor
    first: Tensor

    def of(self, row: Tensor) -> "Ranges":
        """Return the ranges of some rows."""
        return Ranges(self.start[row], self.end[row], self.first[row])


def eligible(csr: SegmentedCSR, node: Tensor, slot: int, since: Tensor | None) -> Ranges:
    """Return the edges of each node under `slot` (−1: any) that are not older than `since`.

    Args:
        csr: The graph.
        node: int64 ``[n]``.
        slot: Slot index; nodes without it have no eligible edge.
        since: int64 ``[n]`` or None.
    """
    slots = torch.full_like(node, slot)
    edges = slot_ranges(csr, node, slots, each=since is not None and slot < 0)
    if since is None or csr.time is None:
        return edges
    shape = edges.start.shape
    bound = since[:, None].expand(shape).reshape(-1)
    start = lower_bound(csr.time, edges.start.reshape(-1), edges.end.reshape(-1), bound)
    return Ranges(start.reshape(shape), edges.end, edges.first)


def slot_ranges(csr: SegmentedCSR, node: Tensor, slot: Tensor, each: bool) -> Ranges:
    """Return the edges of each node under its `slot` (−1: any).

    Args:
        csr: The graph.
        node: int64 ``[n]``.
        slot: int64 ``[n]``.
        each: One range per segment, so that times ascend inside each; else one range in all.
    """
    first, count = csr.first_segment(node), csr.slots[csr.node_type(node)]
    known = slot < count
    start = torch.where(known, first + slot.clamp(min=0), first)
    end = torch.where(known, first + torch.where(slot < 0, count, slot + 1), first)
    if not each:
        return Ranges(csr.segment[start][:, None], csr.segment[end][:, None], csr.segment[first])
    columns = []
    for k in range(max(int(csr.slots.max()), 1)):
        here = (first + k >= start) & (first + k < end)
        segment = torch.where(here, first + k, first)
        columns.append((csr.segment[segment], csr.segment[segment + here.long()]))
    return Ranges(
        torch.stack([start for start, _ in columns], 1),  # [n, K]
        torch.stack([end for _, end in columns], 1),  # [n, K]
        csr.segment[first],
    )


def pick(allowed: Ranges, high: Tensor, low: Tensor, cumulative: Tensor | None) -> Tensor:
    """Choose an eligible edge by two random words: int64 ``[n]``, −1 where nothing has mass."""
    if cumulative is None:
        return _pick_uniform(allowed, high)
    return _pick_weighted(allowed, unit(high, low), cumulative)


def unit(high: Tensor, low: Tensor) -> Tensor:
    """Return 53 random bits of two words as float64 in [0, 1)."""
    return ((high << 21) | (low >> 11)).double() * 2**-53


def _pick_uniform(allowed: Ranges, bits: Tensor) -> Tensor:
    size = allowed.end - allowed.start  # [n, K]
    rank = below(bits, size.sum(1))
    edge = torch.full_like(rank, -1)
    for k in range(size.shape[1]):
        inside = (rank >= 0) & (rank < size[:, k])
        edge = torch.where(inside, allowed.start[:, k] + rank, edge)
        rank = torch.where(inside, -1, rank - size[:, k])
        rank = torch.where(edge >= 0, -1, rank)
    return edge


def _pick_weighted(allowed: Ranges, share: Tensor, cumulative: Tensor) -> Tensor:
    filled = allowed.end > allowed.start  # [n, K]
    inner = filled & (allowed.start > allowed.first[:, None])
    skipped = torch.where(inner, cumulative[(allowed.start - 1).clamp(min=0)], 0.0)
    reached = torch.where(filled, cumulative[(allowed.end - 1).clamp(min=0)], 0.0)
    mass = reached - skipped
    total = torch.zeros_like(share)
    for k in range(mass.shape[1]):  # in order, so that every body rounds alike
        total = total + mass[:, k]
    goal, total_ = share * total, total
    edge = torch.full_like(allowed.first, -1)
    passed = torch.zeros_like(share)
    for k in range(mass.shape[1]):
        through = passed + mass[:, k]
        inside = (edge < 0) & (goal < through) & (total_ > 0)
        rest = torch.minimum(goal - passed, mass[:, k] * UNDER_ONE)
        place = search(
            cumulative, allowed.start[:, k], allowed.end[:, k], skipped[:, k], rest, inside
        )
        edge = torch.where(inside, place, edge)
        passed = through
    return edge


def search(
    cumulative: Tensor, start: Tensor, end: Tensor, skipped: Tensor, rest: Tensor, where: Tensor
) -> Tensor:
    """Return the first place of each range whose running weight exceeds `rest`."""
    low, high = start, torch.where(where, end, start)
    longest = int((high - low).max()) if len(low) else 0
    for _ in range(longest.bit_length()):
        middle = (low + high) >> 1
        open_ = low < high
        below_ = open_ & (cumulative[torch.where(open_, middle, 0)] - skipped <= rest)
        low = torch.where(below_, middle + 1, low)
        high = torch.where(open_ & ~below_, middle, high)
    return low

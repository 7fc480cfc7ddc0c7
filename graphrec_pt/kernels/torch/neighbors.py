"""Neighbour sampling, one draw of all cells at a time: the readable definition of every draw.

A draw picks among the edges not taken yet: the ranks taken so far are kept in ascending order, and
the drawn rank steps over each of them. The weighted draw steps over weights in the same way.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from graphrec_pt.kernels.csr import SegmentedCSR
from graphrec_pt.kernels.neighbors import SPARE, FanOutPlan
from graphrec_pt.kernels.philox import below, draw
from graphrec_pt.kernels.torch.choice import UNDER_ONE, Ranges, search, slot_ranges, unit
from graphrec_pt.kernels.torch.segments import lower_bound, ranges

_NEVER = torch.iinfo(torch.int64).max


class Cells(NamedTuple):
    """Cells that have more edges than they may take.

    Args:
        cell: int64 ``[n]``, which cell.
        owner: int64 ``[n]``, the row of `FanOutPlan.nodes` each belongs to.
        block: int64 ``[n]``, the first block of draws.
        allowed: The eligible edges.
    """

    cell: Tensor
    owner: Tensor
    block: Tensor
    allowed: Ranges


def neighbors(csr: SegmentedCSR, plan: FanOutPlan) -> tuple[Tensor, Tensor]:
    """Sample; see :func:`graphrec_pt.kernels.neighbors.neighbors`.

    Returns:
        int64 ``[M]`` positions by cell and int64 ``[C]`` how many each cell got.
    """
    return sample(csr, plan, _draw_some)


def sample(
    csr: SegmentedCSR,
    plan: FanOutPlan,
    draw_some: Callable[[SegmentedCSR, FanOutPlan, Cells], tuple[Tensor, Tensor]],
) -> tuple[Tensor, Tensor]:
    """Sample with `draw_some` for the cells that cannot take every edge.

    It returns the cell and the position of every edge taken, in order inside each cell.
    """
    columns = len(plan.slots)
    node = plan.nodes.repeat_interleave(columns)  # [C]
    owner = torch.arange(len(plan.nodes), device=node.device).repeat_interleave(columns)
    slot = plan.slots.repeat(len(plan.nodes))
    eligible = _eligible(csr, plan, node, slot, owner)
    size = (eligible.end - eligible.start).clamp(min=0).sum(1)  # [C]
    if plan.fanout < 0:
        whole = torch.ones_like(size, dtype=torch.bool)
    else:
        whole = size <= (0 if plan.replace else plan.fanout)
    every, some = whole.nonzero().squeeze(1), (~whole).nonzero().squeeze(1)
    cell, edge = _take_all(csr, plan, eligible.of(every), every, owner)
    if len(some):
        block = plan.block[owner[some]] + some % columns * plan.blocks
        cells = Cells(some, owner[some], block, eligible.of(some))
        more, drawn = draw_some(csr, plan, cells)
        cell, edge = torch.cat([cell, more]), torch.cat([edge, drawn])
    order = torch.argsort(cell, stable=True)
    return edge[order], torch.bincount(cell, minlength=len(node))


def _eligible(
    csr: SegmentedCSR, plan: FanOutPlan, node: Tensor, slot: Tensor, owner: Tensor
) -> Ranges:
    edges = slot_ranges(csr, node, slot, each=plan.before is not None)
    if plan.before is None or csr.time is None:
        return edges
    shape = edges.end.shape
    bound = plan.before[owner][:, None].expand(shape).reshape(-1)
    end = lower_bound(csr.time, edges.start.reshape(-1), edges.end.reshape(-1), bound)
    return Ranges(edges.start, end.reshape(shape), edges.first)


def _take_all(
    csr: SegmentedCSR, plan: FanOutPlan, allowed: Ranges, cell: Tensor, owner: Tensor
) -> tuple[Tensor, Tensor]:
    width = allowed.start.shape[1]
    edge, place = ranges(allowed.start.reshape(-1), (allowed.end - allowed.start).reshape(-1))
    place = place // width
    keep = ~_banned(csr, plan, edge, owner[cell[place]])
    if plan.cumulative is not None:
        keep &= plan.cumulative[edge] - _before(plan.cumulative, edge, allowed.first[place]) > 0
    return cell[place][keep], edge[keep]


def _draw_some(csr: SegmentedCSR, plan: FanOutPlan, cells: Cells) -> tuple[Tensor, Tensor]:
    item, first = plan.item[cells.owner], cells.block * 4
    taken = _Taken(cells.allowed, plan.cumulative, plan.fanout + SPARE)
    index, edges = [], []
    got = torch.zeros_like(item)
    for number in range(plan.fanout + SPARE):
        if plan.cumulative is None:
            rank = taken.by_rank(draw(plan.words, item, first + number))
        else:
            high = draw(plan.words, item, first + 2 * number)
            low = draw(plan.words, item, first + 2 * number + 1)
            rank = taken.by_weight(unit(high, low))
        here = (rank >= 0) & (got < plan.fanout)
        edge = torch.where(here, taken.position(rank.clamp(min=0)), 0)
        banned = here & _banned(csr, plan, edge, cells.owner)
        good = here & ~banned
        got += good
        index.append(cells.cell[good])
        edges.append(edge[good])
        taken.add(rank, edge, banned if plan.replace else here)
    cell, position = torch.cat(index), torch.cat(edges)
    if not plan.replace:
        position, order = position.sort()
        cell = cell[order]
    return cell, position


class _Taken:
    """The edges that cells have taken, by ascending rank among the eligible ones."""

    def __init__(self, allowed: Ranges, cumulative: Tensor | None, most: int) -> None:
        self.allowed, self.cumulative = allowed, cumulative
        size = allowed.end - allowed.start  # [n, K]
        self.through = size.cumsum(1)
        self.rank = size.new_full((len(size), most), _NEVER)  # [n, most], ascending
        self.count = size.new_zeros(len(size))
        if cumulative is not None:
            first = allowed.first[:, None].expand(size.shape)
            self.skipped = _before(cumulative, allowed.start, first)
            reached = cumulative[(allowed.end - 1).clamp(min=0)]
            mass = torch.where(size > 0, reached - self.skipped, 0.0)
            passed = [torch.zeros_like(mass[:, 0])]
            for k in range(mass.shape[1]):  # in order, so that every body rounds alike
                passed.append(passed[-1] + mass[:, k])
            self.mass, self.passed = mass, torch.stack(passed, 1)  # [n, K], [n, K+1]
            self.left = passed[-1].clone()
            self.start = mass.new_full(self.rank.shape, torch.inf)
            self.weight = mass.new_zeros(self.rank.shape)

    def by_rank(self, bits: Tensor) -> Tensor:
        """Return a uniform rank that is not taken, −1 when none is left."""
        left = self.through[:, -1] - self.count
        rank = below(bits, left)
        for i in range(self.rank.shape[1]):
            rank = rank + (self.rank[:, i] <= rank).long()
        return torch.where(left > 0, rank, -1)

    def by_weight(self, share: Tensor) -> Tensor:
        """Return a rank by weight that is not taken, −1 when no weight is left."""
        assert self.cumulative is not None
        goal = share * self.left
        for i in range(self.rank.shape[1]):
            goal = torch.where(self.start[:, i] <= goal, goal + self.weight[:, i], goal)
        rank = torch.full_like(self.count, -1)
        for k in range(self.mass.shape[1]):
            inside = (rank < 0) & (goal < self.passed[:, k + 1]) & (self.left > 0)
            rest = torch.minimum(goal - self.passed[:, k], self.mass[:, k] * UNDER_ONE)
            low, high = self.allowed.start[:, k], self.allowed.end[:, k]
            place = search(self.cumulative, low, high, self.skipped[:, k], rest, inside)
            before = self.through[:, k] - (self.allowed.end[:, k] - self.allowed.start[:, k])
            rank = torch.where(inside, before + place - self.allowed.start[:, k], rank)
        again = (self.rank == rank[:, None]).any(1)  # rounding led back to a taken edge
        return torch.where(again, -1, rank)

    def position(self, rank: Tensor) -> Tensor:
        """Return the edge position of each rank."""
        k = (self.through <= rank[:, None]).sum(1, keepdim=True)
        k = k.clamp(max=self.through.shape[1] - 1)
        size = self.allowed.end - self.allowed.start
        before = (self.through - size).gather(1, k).squeeze(1)
        return self.allowed.start.gather(1, k).squeeze(1) + rank - before

    def add(self, rank: Tensor, edge: Tensor, where: Tensor) -> None:
        """Insert the ranks at the given places among the taken ones."""
        last = self.rank.shape[1] - 1
        if self.cumulative is not None:
            k = (self.through <= rank.clamp(min=0)[:, None]).sum(1, keepdim=True)
            k = k.clamp(max=self.through.shape[1] - 1)
            skipped, passed = self.skipped.gather(1, k), self.passed.gather(1, k)
            start = _before(self.cumulative, edge, self.allowed.first) - skipped.squeeze(1)
            weight = self.cumulative[edge] - skipped.squeeze(1) - start
            self.start[:, last] = torch.where(where, passed.squeeze(1) + start, torch.inf)
            self.weight[:, last] = torch.where(where, weight, 0.0)
            self.left = torch.where(where, self.left - weight, self.left)
        self.rank[:, last] = torch.where(where, rank, self.rank[:, last])
        self.count += where
        self.rank, order = self.rank.sort(1)
        if self.cumulative is not None:
            self.start, self.weight = self.start.gather(1, order), self.weight.gather(1, order)


def _banned(csr: SegmentedCSR, plan: FanOutPlan, edge: Tensor, owner: Tensor) -> Tensor:
    if plan.exclude is None or csr.edge is None:
        return torch.zeros_like(edge, dtype=torch.bool)
    banned = plan.exclude[owner]
    return (banned >= 0) & (csr.edge[edge] == banned)


def _before(cumulative: Tensor, edge: Tensor, first: Tensor) -> Tensor:
    """Return the running weight of a node just before an edge."""
    return torch.where(edge > first, cumulative[(edge - 1).clamp(min=0)], 0.0)

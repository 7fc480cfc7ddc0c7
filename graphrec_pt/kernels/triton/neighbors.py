"""Neighbour sampling in Triton, one lane a cell; the draws are those of the torch body.

What a cell has taken lies in a row of scratch memory, in ascending order; a new rank moves the
larger ones up by one. Cells that take every edge are gathered by the torch body, which is one
pass over memory on any device.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from graphrec_pt.kernels.csr import SegmentedCSR
from graphrec_pt.kernels.neighbors import SPARE, FanOutPlan
from graphrec_pt.kernels.torch import neighbors as reference
from graphrec_pt.kernels.triton.choice import exceeds, range_mass, unit
from graphrec_pt.kernels.triton.philox import below, draw, on_device

BLOCK = 128


def neighbors(csr: SegmentedCSR, plan: FanOutPlan) -> tuple[Tensor, Tensor]:
    """Sample; see :func:`graphrec_pt.kernels.neighbors.neighbors`.

    Returns:
        int64 ``[M]`` positions by cell and int64 ``[C]`` how many each cell got.
    """
    return reference.sample(csr, plan, _draw_some)


def _draw_some(
    csr: SegmentedCSR, plan: FanOutPlan, cells: reference.Cells
) -> tuple[Tensor, Tensor]:
    n, width = cells.allowed.start.shape
    room = plan.fanout + SPARE
    out = cells.cell.new_full((n, plan.fanout), -1)
    weighted = plan.cumulative is not None
    spare = csr.segment  # stands in for an array that is not read
    _draw[(triton.cdiv(n, BLOCK),)](
        spare if csr.edge is None else csr.edge.contiguous(),
        spare if plan.cumulative is None else plan.cumulative,
        cells.allowed.start.contiguous(),
        cells.allowed.end.contiguous(),
        cells.allowed.first.contiguous(),
        spare if plan.exclude is None else plan.exclude[cells.owner],
        plan.item[cells.owner],
        cells.block,
        on_device(plan.words, out.device),
        out,
        out.new_empty((n, room)),
        out.new_empty((n, room if weighted else 1), dtype=torch.float64),
        out.new_empty((n, room if weighted else 1), dtype=torch.float64),
        n,
        width,
        plan.fanout,
        room,
        max(csr.num_edges.bit_length(), 1),
        replace=plan.replace,
        weighted=weighted,
        excluding=plan.exclude is not None,
        size=BLOCK,
        enable_fp_fusion=False,  # products are rounded before they are added, as elsewhere
    )
    kept = out >= 0
    return cells.cell[:, None].expand_as(out)[kept], out[kept]


@triton.jit  # type: ignore[untyped-decorator]
def _position(
    starts: tl.tensor,
    ends: tl.tensor,
    row: tl.tensor,
    width: tl.tensor,
    rank: tl.tensor,
    where: tl.tensor,
) -> tl.tensor:
    """Return the edge position of each rank among the eligible edges of its cell."""
    edge, passed = tl.zeros_like(rank), tl.zeros_like(rank)
    for k in range(width):
        start = tl.load(starts + row * width + k, mask=where, other=0)
        end = tl.load(ends + row * width + k, mask=where, other=0)
        through = passed + tl.maximum(end - start, 0)
        edge = tl.where((rank >= passed) & (rank < through), start + rank - passed, edge)
        passed = through
    return edge


@triton.jit  # type: ignore[untyped-decorator]
def _draw(
    edge_ids: tl.tensor,
    cumulative: tl.tensor,
    starts: tl.tensor,
    ends: tl.tensor,
    firsts: tl.tensor,
    exclude: tl.tensor,
    items: tl.tensor,
    blocks: tl.tensor,
    words: tl.tensor,
    out: tl.tensor,
    taken: tl.tensor,
    taken_start: tl.tensor,
    taken_weight: tl.tensor,
    cells: tl.tensor,
    width: tl.tensor,
    fanout: tl.tensor,
    room: tl.tensor,
    steps: tl.tensor,
    replace: tl.constexpr,
    weighted: tl.constexpr,
    excluding: tl.constexpr,
    size: tl.constexpr,
) -> None:
    row = tl.program_id(0).to(tl.int64) * size + tl.arange(0, size)
    inside = row < cells
    item = tl.load(items + row, mask=inside, other=0)
    block = tl.load(blocks + row, mask=inside, other=0)
    begin = tl.load(firsts + row, mask=inside, other=0)
    banned = tl.zeros_like(row) - 1
    if excluding:
        banned = tl.load(exclude + row, mask=inside, other=-1)
    total, held, got = tl.zeros_like(row), tl.zeros_like(row), tl.zeros_like(row)
    left = tl.zeros([size], tl.float64)
    for k in range(width):
        start = tl.load(starts + row * width + k, mask=inside, other=0)
        end = tl.load(ends + row * width + k, mask=inside, other=0)
        total += tl.maximum(end - start, 0)
        if weighted:
            _, mass = range_mass(cumulative, begin, start, end)
            left += mass
    for number in range(room):
        open_ = inside & (got < fanout)
        edge, place = tl.zeros_like(row), tl.zeros_like(row)
        where, weight = tl.zeros([size], tl.float64), tl.zeros([size], tl.float64)
        if weighted:
            open_ = open_ & (left > 0)
            high = draw(words, item, block * 4 + 2 * number)
            low = draw(words, item, block * 4 + 2 * number + 1)
            goal = unit(high, low) * left
            for i in range(number):
                past = open_ & (i < held)
                begins = tl.load(taken_start + row * room + i, mask=past, other=0.0)
                size_ = tl.load(taken_weight + row * room + i, mask=past, other=0.0)
                goal = tl.where(past & (begins <= goal), goal + size_, goal)
            passed = tl.zeros([size], tl.float64)
            settled = open_ & (row < 0)
            for k in range(width):
                start = tl.load(starts + row * width + k, mask=open_, other=0)
                end = tl.load(ends + row * width + k, mask=open_, other=0)
                skipped, mass = range_mass(cumulative, begin, start, end)
                through = passed + mass
                here = open_ & (settled == 0) & (goal < through)
                rest = tl.minimum(goal - passed, mass * 0.9999999999999999)  # 1 - 2**-53
                hit = exceeds(cumulative, start, tl.where(here, end, start), skipped, rest, steps)
                before = tl.load(cumulative + hit - 1, mask=here & (hit > begin), other=0.0)
                reached = tl.load(cumulative + hit, mask=here, other=0.0)
                edge = tl.where(here, hit, edge)
                where = tl.where(here, passed + (before - skipped), where)
                weight = tl.where(here, reached - skipped - (before - skipped), weight)
                settled = settled | here
                passed = through
            open_ = open_ & settled
            again = open_ & (row < 0)
            for i in range(number):
                past = open_ & (i < held)
                other = tl.load(taken + row * room + i, mask=past, other=-1)
                place += (past & (other < edge)).to(tl.int64)
                again = again | (past & (other == edge))
            open_ = open_ & (again == 0)  # rounding led back to a taken edge
            rank = edge
        else:
            open_ = open_ & (held < total)
            rank = below(draw(words, item, block * 4 + number), total - held)
            for i in range(number):
                past = open_ & (i < held)
                other = tl.load(taken + row * room + i, mask=past, other=0)
                step = (past & (other <= rank)).to(tl.int64)
                rank += step
                place += step
            edge = _position(starts, ends, row, width, rank, open_)
        refused = open_ & (row < 0)
        if excluding:
            number_ = tl.load(edge_ids + edge, mask=open_, other=-1).to(tl.int64)
            refused = open_ & (banned >= 0) & (number_ == banned)
        good = open_ & (refused == 0)
        keeps = open_
        if replace:
            tl.store(out + row * fanout + got, edge, mask=good)
            keeps = refused
        got += good.to(tl.int64)
        for back in range(number):
            i = number - 1 - back
            moves = keeps & (i < held) & (i >= place)
            other = tl.load(taken + row * room + i, mask=moves, other=0)
            tl.store(taken + row * room + i + 1, other, mask=moves)
            if weighted:
                begins = tl.load(taken_start + row * room + i, mask=moves, other=0.0)
                size_ = tl.load(taken_weight + row * room + i, mask=moves, other=0.0)
                tl.store(taken_start + row * room + i + 1, begins, mask=moves)
                tl.store(taken_weight + row * room + i + 1, size_, mask=moves)
        tl.store(taken + row * room + place, rank, mask=keeps)
        if weighted:
            tl.store(taken_start + row * room + place, where, mask=keeps)
            tl.store(taken_weight + row * room + place, weight, mask=keeps)
            left = tl.where(keeps, left - weight, left)
        held += keeps.to(tl.int64)
        tl.debug_barrier()  # the next draw reads what this one wrote
    if not replace:
        got = tl.zeros_like(row)
        for i in range(room):
            past = inside & (i < held)
            rank = tl.load(taken + row * room + i, mask=past, other=0)
            edge = rank
            if not weighted:
                edge = _position(starts, ends, row, width, rank, past)
            good = past
            if excluding:
                number_ = tl.load(edge_ids + edge, mask=past, other=-1).to(tl.int64)
                good = past & ((banned < 0) | (number_ != banned))
            tl.store(out + row * fanout + got, edge, mask=good)
            got += good.to(tl.int64)

"""Negatives by refusing candidates of all rows at once; what remains is drawn exactly."""

import torch
from torch import Tensor

from graphrec_pt.kernels.csr import SegmentedCSR
from graphrec_pt.kernels.negative import TRIES, TRY_BITS, UNIT, UNIT_BITS, Wanted
from graphrec_pt.kernels.philox import below
from graphrec_pt.kernels.torch.philox import draw
from graphrec_pt.kernels.torch.segments import lower_bound, ranges


def negative(csr: SegmentedCSR, wanted: Wanted) -> Tensor:
    """Draw negatives; see :func:`graphrec_pt.kernels.negative.negative`."""
    rows, device = len(wanted.item), wanted.item.device
    start, end = bounds(csr, wanted)
    out = torch.empty(rows * wanted.each, dtype=torch.int64, device=device)
    pending = torch.arange(len(out), device=device)  # row · count + j
    for attempt in range(TRIES):
        row, j = pending // wanted.each, pending % wanted.each
        bits = draw(wanted.words, wanted.item[row], (attempt << TRY_BITS) + j)
        if wanted.cumulative is None:
            node = wanted.low + below(bits, wanted.size)
        else:
            node = wanted.low + pick(wanted.cumulative, bits >> (32 - UNIT_BITS))
        place = lower_bound(wanted.targets, start[row], end[row], node)
        taken = place < end[row]
        taken[taken.clone()] = wanted.targets[place[taken]] == node[taken]
        out[pending] = node
        pending = pending[taken]
        if not len(pending):
            break
    out[pending] = exact(wanted, start, end, pending)
    return out.view(rows, wanted.each)


def bounds(csr: SegmentedCSR, wanted: Wanted) -> tuple[Tensor, Tensor]:
    """Return where the true targets of each row start and end in `targets`: two int64 ``[B]``."""
    segment = csr.first_segment(wanted.source) + wanted.slot
    return csr.segment[segment], csr.segment[segment + 1]


def pick(cumulative: Tensor, mass: Tensor) -> Tensor:
    """Return the entry that owns each unit of mass."""
    return torch.searchsorted(cumulative, mass.contiguous(), right=True)


def exact(wanted: Wanted, start: Tensor, end: Tensor, pending: Tensor) -> Tensor:
    """Draw from what the true targets leave, by rank: −1 where they leave nothing.

    Args:
        wanted: The negatives.
        start: int64 ``[B]``, where the true targets of each row start.
        end: int64 ``[B]``, where they end.
        pending: int64 ``[P]``, ``row · count + j`` of each negative to draw.
    """
    row, j = pending // wanted.each, pending % wanted.each
    place, owner = ranges(start[row], end[row] - start[row])
    node = wanted.targets[place].long() - wanted.low
    counts = (node >= 0) & (node < wanted.size)
    counts[1:] &= (node[1:] != node[:-1]) | (owner[1:] != owner[:-1])  # parallel edges once
    node, owner = node[counts], owner[counts]
    if wanted.cumulative is None:
        total, before, mass = wanted.size, node, torch.ones_like(node)
    else:
        total = UNIT
        before = torch.where(node > 0, wanted.cumulative[(node - 1).clamp(min=0)], 0)
        mass = wanted.cumulative[node] - before
    taken = torch.zeros_like(pending).index_add_(0, owner, mass)
    free = total - taken
    rank = below(draw(wanted.words, wanted.item[row], (TRIES << TRY_BITS) + j), free)
    # Free mass in front of each true target: those in front of the rank push it to the right.
    running = mass.cumsum(0) - mass
    running = running - (taken.cumsum(0) - taken)[owner]
    pushes = before - running <= rank[owner]
    rank = rank.index_add(0, owner[pushes], mass[pushes])
    chosen = rank if wanted.cumulative is None else pick(wanted.cumulative, rank)
    return torch.where(free > 0, wanted.low + chosen, -1)

"""Negative sampling, uniform or by popularity, that never returns a true edge."""

from typing import NamedTuple

import torch
from torch import Tensor

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.core.key import Key
from graphrec_pt.kernels.adjacency import sorted_targets
from graphrec_pt.kernels.csr import SegmentedCSR, check_nodes, check_positive, check_slot
from graphrec_pt.kernels.dispatch import body
from graphrec_pt.kernels.philox import ITEMS, below, check_items, draw, key_words
from graphrec_pt.kernels.torch.segments import lower_bound, ranges

TRIES = 32
"""Candidates rejected before the exact distribution is computed."""
TRY_BITS = 24  # draw ``try << TRY_BITS | j`` belongs to negative j, so more negatives begin alike
UNIT_BITS = 31
UNIT = 1 << UNIT_BITS
"""Whole of a popularity distribution: probabilities are multiples of 2**-31."""


class Wanted(NamedTuple):
    """Checked negatives, as every body takes them.

    Args:
        words: Two seed words, stream and epoch.
        item: int64 ``[B]``, whose draws they are.
        source: int64 ``[B]``.
        slot: int64 ``[B]``.
        targets: ``[E]``, ascending inside each segment.
        low: First id to draw from.
        size: How many ids there are.
        cumulative: int64 ``[size]`` out of :data:`UNIT`, or None for a uniform draw.
        each: Negatives per row.
    """

    words: tuple[int, int, int, int]
    item: Tensor
    source: Tensor
    slot: Tensor
    targets: Tensor
    low: int
    size: int
    cumulative: Tensor | None
    each: int


def negative(
    csr: SegmentedCSR,
    source: Tensor,
    slot: Tensor | int,
    count: int,
    key: Key,
    *,
    low: int,
    high: int,
    cumulative: Tensor | None = None,
    item: Tensor | None = None,
) -> Tensor:
    """Draw nodes of ``[low, high)`` that a source has no edge to under its relation.

    Each negative follows, independently, the uniform (or popularity) distribution over the nodes
    other than the true targets. Candidates are drawn and rejected up to :data:`TRIES` times; after
    that the distribution is computed exactly, so that a source connected with almost everything
    costs one pass over its edges.
    For negatives among the other positives of a batch see
    :func:`graphrec_pt.kernels.adjacency.in_batch`.

    Args:
        csr: The graph whose edges are true.
        source: int64 ``[B]``, global ids.
        slot: int64 ``[B]`` or one integer, the relation of each source.
        count: Negatives per source, at most 2**24; more of them begin with the fewer ones.
        key: Names the draws.
        low: First global id to draw from, e.g. ``offset[t]`` of the relation's target type.
        high: One past the last, e.g. ``offset[t + 1]``.
        cumulative: int64 ``[high - low]`` of :func:`popularity`, or None for a uniform draw.
        item: int64 ``[B]`` below 2**32, the key item of each row's draws; by default the source, so
            that a source has the same negatives in every batch. Edge ids give each example its own.

    Returns:
        int64 ``[B, count]`` global ids; −1 where no node is left to draw.

    Raises:
        GraphRecError: When an argument is out of its range.
    """
    check_positive("negative", "count", count)
    check_items("negative", csr.num_nodes)
    check_nodes("negative", csr, source, "source")
    slots = check_slot("negative", csr, source, slot)
    if count > 1 << TRY_BITS:
        raise GraphRecError("negative", f"count <= {1 << TRY_BITS}", count)
    if not 0 <= low < high <= csr.num_nodes:
        raise GraphRecError(
            "negative", f"0 <= low < high <= {csr.num_nodes}", f"low {low}, high {high}"
        )
    if cumulative is not None:
        _check_cumulative(cumulative, high - low)
    items = source if item is None else _check_item(item, source)
    wanted = Wanted(
        words=key_words(key),
        item=items.long().contiguous(),
        source=source.long().contiguous(),
        slot=slots,
        targets=sorted_targets(csr).contiguous(),
        low=low,
        size=high - low,
        cumulative=cumulative,
        each=count,
    )
    drawn: Tensor = body("negative", csr.indices)(csr, wanted)
    return drawn


def popularity(weight: Tensor, alpha: float = 1.0) -> Tensor:
    """Return the distribution ∝ ``weight ** alpha`` as running integers.

    Args:
        weight: ``[n]``, e.g. how often each item was bought; not negative.
        alpha: 0 is uniform over nodes with a weight above 0, 0.75 is word2vec's choice, 1 is
            proportional to the weights.

    Returns:
        int64 ``[n]``, ascending to 2**31. A node whose share is below 2**-31 may be lost.

    Raises:
        GraphRecError: For weights that are negative, not finite or all 0.
    """
    weights = weight.double()
    wrong = ~((weights >= 0) & (weights < torch.inf))
    if bool(wrong.any()):
        i = int(wrong.nonzero()[0])
        raise GraphRecError("popularity", "weights >= 0 and finite", f"{weights[i]} at {i}")
    mass = torch.where(weights > 0, weights**alpha, 0.0).cumsum(0)
    if not len(mass) or not float(mass[-1]) > 0:
        raise GraphRecError("popularity", "a weight above 0", f"{len(mass)} weights without one")
    return (mass / mass[-1] * UNIT).long()


def _check_cumulative(cumulative: Tensor, size: int) -> None:
    if cumulative.dtype != torch.int64 or cumulative.shape != (size,):
        got = f"{cumulative.dtype} {list(cumulative.shape)}"
        raise GraphRecError("negative", f"cumulative int64 [{size}]", got, "popularity(…)")
    falls = bool((cumulative[1:] < cumulative[:-1]).any())
    if falls or int(cumulative[0]) < 0 or int(cumulative[-1]) != UNIT:
        raise GraphRecError("negative", "cumulative ascending to 2**31", "", "popularity(…)")


def _check_item(item: Tensor, source: Tensor) -> Tensor:
    if item.shape != source.shape or item.dtype not in (torch.int32, torch.int64):
        raise GraphRecError("negative", f"{len(source)} integer items", list(item.shape))
    if len(item) and (int(item.min()) < 0 or int(item.max()) >= ITEMS):
        raise GraphRecError("negative", "items in [0, 2**32)", f"{int(item.min())} and up")
    return item


def torch_negative(csr: SegmentedCSR, wanted: Wanted) -> Tensor:
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

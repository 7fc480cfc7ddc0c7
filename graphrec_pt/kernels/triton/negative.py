"""Negatives: a block of candidates per program; what remains is drawn exactly by the torch body."""

import torch
import triton
import triton.language as tl
from torch import Tensor

from graphrec_pt.kernels.csr import SegmentedCSR
from graphrec_pt.kernels.negative import TRIES, TRY_BITS, UNIT_BITS, Wanted, bounds, exact
from graphrec_pt.kernels.triton.choice import lower_bound
from graphrec_pt.kernels.triton.philox import below, draw, on_device

BLOCK = 128
_REFUSED = tl.constexpr(-2)


@triton.jit  # type: ignore[untyped-decorator]
def _negative(
    words: tl.tensor,
    items: tl.tensor,
    start: tl.tensor,
    end: tl.tensor,
    targets: tl.tensor,
    cumulative: tl.tensor,
    out: tl.tensor,
    total: tl.tensor,
    count: tl.tensor,
    low: tl.tensor,
    range_size: tl.tensor,
    steps: tl.tensor,
    weighted: tl.constexpr,
    tries: tl.constexpr,
    try_bits: tl.constexpr,
    halve: tl.constexpr,
    size: tl.constexpr,
) -> None:
    i = tl.program_id(0).to(tl.int64) * size + tl.arange(0, size)
    inside = i < total
    b, j = i // count, i % count
    item = tl.load(items + b, mask=inside, other=0)
    begin = tl.load(start + b, mask=inside, other=0)
    stop = tl.load(end + b, mask=inside, other=0)
    drawn = tl.full((size,), _REFUSED, tl.int64)
    attempt = 0
    while attempt < tries and tl.max(tl.where(inside & (drawn == _REFUSED), 1, 0), axis=0) > 0:
        bits = draw(words, item, (attempt << try_bits) + j)
        if weighted:
            none = tl.zeros_like(bits)
            whole = none + range_size
            node = low + lower_bound(cumulative, none, whole, (bits >> halve) + 1, steps)
        else:
            node = low + below(bits, range_size)
        place = lower_bound(targets, begin, stop, node, steps)
        hit = tl.load(targets + place, mask=place < stop, other=-1).to(tl.int64) == node
        drawn = tl.where((drawn == _REFUSED) & (hit == 0), node, drawn)
        attempt += 1
    tl.store(out + i, drawn, mask=inside)


def negative(csr: SegmentedCSR, wanted: Wanted) -> Tensor:
    """Draw negatives; see :func:`graphrec_pt.kernels.negative.negative`."""
    rows, total = len(wanted.item), len(wanted.item) * wanted.each
    out = torch.empty(total, dtype=torch.int64, device=wanted.item.device)
    start, end = bounds(csr, wanted)
    if total:
        longest = max(len(wanted.targets), wanted.size)
        _negative[(triton.cdiv(total, BLOCK),)](
            on_device(wanted.words, out.device),
            wanted.item,
            start,
            end,
            wanted.targets,
            start if wanted.cumulative is None else wanted.cumulative.contiguous(),
            out,
            total,
            wanted.each,
            wanted.low,
            wanted.size,
            longest.bit_length(),
            wanted.cumulative is not None,
            TRIES,
            TRY_BITS,
            32 - UNIT_BITS,
            BLOCK,
            enable_fp_fusion=False,
        )
        refused = (out == -2).nonzero().squeeze(1)
        if len(refused):
            out[refused] = exact(wanted, start, end, refused)
    return out.view(rows, wanted.each)

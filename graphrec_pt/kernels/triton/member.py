"""Membership: a block of questions per program, each a binary search."""

import torch
import triton
import triton.language as tl
from torch import Tensor

from graphrec_pt.kernels.csr import SegmentedCSR
from graphrec_pt.kernels.triton.segments import lower_bound

BLOCK = 256


@triton.jit  # type: ignore[untyped-decorator]
def _member(
    segment: tl.tensor,
    targets: tl.tensor,
    low: tl.tensor,
    high: tl.tensor,
    target: tl.tensor,
    out: tl.tensor,
    n: tl.tensor,
    most: tl.tensor,
    steps: tl.tensor,
    size: tl.constexpr,
) -> None:
    i = tl.program_id(0).to(tl.int64) * size + tl.arange(0, size)
    inside = i < n
    first = tl.load(low + i, mask=inside, other=0)
    last = tl.load(high + i, mask=inside, other=0)
    value = tl.load(target + i, mask=inside, other=0).to(tl.int64)
    found = tl.zeros_like(first)
    for k in range(most):
        asked = first + k < last
        start = tl.load(segment + first + k, mask=asked, other=0)
        end = tl.load(segment + first + k + 1, mask=asked, other=0)
        place = lower_bound(targets, start, end, value, steps)
        inner = place < end
        hit = inner & (tl.load(targets + place, mask=inner, other=0).to(tl.int64) == value)
        found = tl.where(hit, 1, found)
    tl.store(out + i, found, mask=inside)


def member(
    csr: SegmentedCSR, targets: Tensor, source: Tensor, slot: Tensor, target: Tensor
) -> Tensor:
    """Say whether edges exist; see :func:`graphrec_pt.kernels.member.member`."""
    out = torch.zeros(len(source), dtype=torch.int64, device=source.device)
    if len(source):
        first = csr.first_segment(source)
        low = first + slot.clamp(min=0)
        high = torch.where(slot < 0, first + csr.slots[csr.node_type(source)], low + 1)
        _member[(triton.cdiv(len(source), BLOCK),)](
            csr.segment.contiguous(),
            targets.contiguous(),
            low,
            high,
            target.contiguous(),
            out,
            len(source),
            int((high - low).max()),
            csr.num_edges.bit_length(),
            BLOCK,
            enable_fp_fusion=False,
        )
    return out.bool()

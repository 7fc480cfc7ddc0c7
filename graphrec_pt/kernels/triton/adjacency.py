"""Membership of an edge and the edges among nodes, on a GPU."""

import torch
import triton
import triton.language as tl
from torch import Tensor

from graphrec_pt.kernels.csr import SegmentedCSR
from graphrec_pt.kernels.triton.choice import lower_bound

MEMBER_BLOCK = 256


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
    exists = tl.zeros_like(first)
    for k in range(most):
        present = first + k < last
        start = tl.load(segment + first + k, mask=present, other=0)
        end = tl.load(segment + first + k + 1, mask=present, other=0)
        place = lower_bound(targets, start, end, value, steps)
        inner = place < end
        hit = inner & (tl.load(targets + place, mask=inner, other=0).to(tl.int64) == value)
        exists = tl.where(hit, 1, exists)
    tl.store(out + i, exists, mask=inside)


def member(
    csr: SegmentedCSR, targets: Tensor, source: Tensor, slot: Tensor, target: Tensor
) -> Tensor:
    """Say whether edges exist; see :func:`graphrec_pt.kernels.adjacency.member`."""
    out = torch.zeros(len(source), dtype=torch.int64, device=source.device)
    if len(source):
        first = csr.first_segment(source)
        low = first + slot.clamp(min=0)
        high = torch.where(slot < 0, first + csr.slots[csr.node_type(source)], low + 1)
        _member[(triton.cdiv(len(source), MEMBER_BLOCK),)](
            csr.segment.contiguous(),
            targets.contiguous(),
            low,
            high,
            target.contiguous(),
            out,
            len(source),
            int((high - low).max()),
            csr.num_edges.bit_length(),
            MEMBER_BLOCK,
            enable_fp_fusion=False,
        )
    return out.bool()


INDUCE_BLOCK = 64
OPTIONS = {"enable_fp_fusion": False}


@triton.jit  # type: ignore[untyped-decorator]
def _induce(
    segment: tl.tensor,
    targets: tl.tensor,
    low: tl.tensor,
    slots: tl.tensor,
    begin: tl.tensor,
    finish: tl.tensor,
    ordered: tl.tensor,
    start: tl.tensor,
    out: tl.tensor,
    edges: tl.tensor,
    steps: tl.tensor,
    fill: tl.constexpr,
    size: tl.constexpr,
) -> None:
    t = tl.program_id(0).to(tl.int64)
    here, there = tl.load(begin + t), tl.load(finish + t)
    first = tl.load(low + t)
    at = tl.load(start + t)
    for k in range(tl.load(slots + t)):
        a = tl.load(segment + first + k)
        a_end = tl.load(segment + first + k + 1)
        for b in range(here, there, size):
            target = b + tl.arange(0, size)
            inside = target < there
            value = tl.load(ordered + target, mask=inside, other=-1)
            whole = tl.zeros_like(value)
            begins = lower_bound(targets, whole + a, whole + a_end, value, steps)
            ends = lower_bound(targets, begins, whole + a_end, value + 1, steps)
            count = tl.where(inside, ends - begins, 0)
            if fill:
                place = at + tl.cumsum(count, axis=0) - count
                for parallel in range(tl.max(count, axis=0)):
                    wanted = parallel < count
                    column = out + (place + parallel)
                    tl.store(column, whole + t, mask=wanted)
                    column += edges
                    tl.store(column, whole + k, mask=wanted)
                    column += edges
                    tl.store(column, target, mask=wanted)
                    column += edges
                    tl.store(column, begins + parallel, mask=wanted)
            at += tl.sum(count, axis=0)
    if not fill:
        tl.store(out + t, at)


def induce(
    csr: SegmentedCSR,
    targets: Tensor,
    nodes: Tensor,
    ptr: Tensor,
    sequence: Tensor,
    ordered: Tensor,
) -> tuple[Tensor, ...]:
    """Find the edges inside sequences; see :func:`graphrec_pt.kernels.adjacency.induce`."""
    given = (
        csr.segment.contiguous(),
        targets.contiguous(),
        csr.first_segment(nodes),
        csr.slots[csr.node_type(nodes)],
        ptr[sequence],
        ptr[sequence + 1],
        ordered,
    )
    steps, tokens = csr.num_edges.bit_length(), len(nodes)
    count = torch.zeros(tokens, dtype=torch.int64, device=nodes.device)
    if tokens:
        none = torch.zeros_like(count)
        _induce[(tokens,)](*given, none, count, 0, steps, False, INDUCE_BLOCK, **OPTIONS)
    start, edges = count.cumsum(0) - count, int(count.sum())
    out = torch.empty((4, edges), dtype=torch.int64, device=nodes.device)
    if edges:
        _induce[(tokens,)](*given, start, out, edges, steps, True, INDUCE_BLOCK, **OPTIONS)
    return out.unbind(0)

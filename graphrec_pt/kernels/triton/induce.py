"""Induced edges: one program per token, its sequence in blocks; count, then fill."""

import torch
import triton
import triton.language as tl
from torch import Tensor

from graphrec_pt.kernels.csr import SegmentedCSR
from graphrec_pt.kernels.triton.segments import lower_bound

BLOCK = 64
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
    """Find the edges inside sequences; see :func:`graphrec_pt.kernels.torch.induce.induce`."""
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
        _induce[(tokens,)](*given, none, count, 0, steps, False, BLOCK, **OPTIONS)
    start, edges = count.cumsum(0) - count, int(count.sum())
    out = torch.empty((4, edges), dtype=torch.int64, device=nodes.device)
    if edges:
        _induce[(tokens,)](*given, start, out, edges, steps, True, BLOCK, **OPTIONS)
    return out.unbind(0)

"""Path instances: the torch body's expansions, joined by a Triton binary search.

Expanding and ranking are sorts, which torch does well on a GPU; looking candidates up in the
segments is the part with a kernel of its own.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from graphrec_pt.kernels.csr import SegmentedCSR
from graphrec_pt.kernels.paths import Question
from graphrec_pt.kernels.torch.paths import assemble
from graphrec_pt.kernels.triton.segments import lower_bound

BLOCK = 128


@triton.jit  # type: ignore[untyped-decorator]
def _search(
    start: tl.tensor,
    end: tl.tensor,
    target: tl.tensor,
    exclude: tl.tensor,
    targets: tl.tensor,
    order: tl.tensor,
    edge: tl.tensor,
    score: tl.tensor,
    out: tl.tensor,
    n: tl.tensor,
    steps: tl.tensor,
    numbered: tl.constexpr,
    size: tl.constexpr,
) -> None:
    i = tl.program_id(0).to(tl.int64) * size + tl.arange(0, size)
    inside = i < n
    begin = tl.load(start + i, mask=inside, other=0)
    stop = tl.load(end + i, mask=inside, other=0)
    value = tl.load(target + i, mask=inside, other=0)
    barred = tl.load(exclude + i, mask=inside, other=-1)
    place = lower_bound(targets, begin, stop, value, steps)
    parallel = lower_bound(targets, place, stop, value + 1, steps) - place
    best = tl.full((size,), float("-inf"), tl.float32)
    found = tl.full((size,), -1, tl.int64)
    for k in range(tl.max(parallel, axis=0)):
        position = tl.load(order + place + k, mask=k < parallel, other=0)
        allowed = k < parallel
        if numbered:
            allowed = allowed & (tl.load(edge + position, mask=allowed, other=-1) != barred)
        mark = tl.load(score + position, mask=allowed, other=float("-inf"))
        better = allowed & ((found < 0) | (mark > best))
        best, found = tl.where(better, mark, best), tl.where(better, position, found)
    tl.store(out + i, found, mask=inside)


def _join(
    csr: SegmentedCSR, question: Question, node: Tensor, slot: int, target: Tensor, exclude: Tensor
) -> Tensor:
    """Return the best, then first, edge of each (node, slot, target): −1 when there is none."""
    out = torch.empty_like(node, memory_format=torch.contiguous_format)
    if len(node):
        first = csr.first_segment(node) + slot
        _search[(triton.cdiv(len(node), BLOCK),)](
            csr.segment[first],
            csr.segment[first + 1],
            target.contiguous(),
            exclude.contiguous(),
            question.targets.contiguous(),
            question.order,
            question.edge.contiguous(),
            question.score,
            out,
            len(node),
            csr.num_edges.bit_length(),
            len(question.edge) > 0,
            BLOCK,
            enable_fp_fusion=False,
        )
    return out


def paths(csr: SegmentedCSR, question: Question) -> tuple[Tensor, Tensor, Tensor]:
    """Return the best instances; see :func:`graphrec_pt.kernels.paths.paths`."""
    return assemble(csr, question, _join)

"""Constrained paths: a block of paths per program, each walking until one walk is accepted."""

import torch
import triton
import triton.language as tl
from torch import Tensor

from graphrec_pt.kernels.constrained_paths import PATH_SHIFT, TRY_SHIFT, Constrained
from graphrec_pt.kernels.csr import SegmentedCSR
from graphrec_pt.kernels.triton.philox import below, draw, on_device
from graphrec_pt.kernels.triton.segments import lower_bound

BLOCK = 128  # a thread for each path, which reads what it wrote


@triton.jit  # type: ignore[untyped-decorator]
def _sample(
    words: tl.tensor,
    first: tl.tensor,
    last: tl.tensor,
    kind: tl.tensor,
    indices: tl.tensor,
    targets: tl.tensor,
    edge: tl.tensor,
    roots: tl.tensor,
    starts: tl.tensor,
    ends: tl.tensor,
    excludes: tl.tensor,
    barred: tl.tensor,
    through: tl.tensor,
    nodes: tl.tensor,
    position: tl.tensor,
    total: tl.tensor,
    many: tl.tensor,
    tries: tl.tensor,
    steps: tl.tensor,
    hops: tl.constexpr,
    numbered: tl.constexpr,
    path_shift: tl.constexpr,
    try_shift: tl.constexpr,
    size: tl.constexpr,
) -> None:
    i = tl.program_id(0).to(tl.int64) * size + tl.arange(0, size)
    wanted = i < total
    b, path = i // many, i % many
    root = tl.load(roots + b, mask=wanted, other=0)
    start = tl.load(starts + b, mask=wanted, other=0)
    end = tl.load(ends + b, mask=wanted, other=0)
    exclude = tl.load(excludes + b, mask=wanted, other=-1)
    bar = tl.load(barred + b, mask=wanted, other=-1)
    attempt = 0
    while attempt < tries and tl.max(wanted.to(tl.int32), axis=0) > 0:
        block = (path << path_shift) | (attempt << try_shift)
        alive = wanted
        v = root
        tl.store(nodes + i * (hops + 1), root, mask=wanted)
        tl.debug_barrier()
        for hop in tl.static_range(hops):
            low, high = start, end
            if hop > 0:
                low = tl.load(first + v, mask=alive, other=0)
                high = tl.load(last + v, mask=alive, other=0)
            alive = alive & (high > low)
            place = low + below(draw(words, root, block * 4 + hop), high - low)
            v = tl.load(indices + place, mask=alive, other=0).to(tl.int64)
            for h in tl.static_range(hop + 1):
                alive = alive & (tl.load(nodes + i * (hops + 1) + h, mask=alive, other=-1) != v)
            if numbered:
                alive = alive & (tl.load(edge + place, mask=alive, other=-1) != exclude)
            if hop > 0 and hop < hops - 1:
                allowed = tl.load(through + tl.load(kind + v, mask=alive, other=0))
                alive = alive & (allowed != 0)
            tl.store(nodes + i * (hops + 1) + hop + 1, v, mask=alive)
            tl.store(position + i * hops + hop, place, mask=alive)
            tl.debug_barrier()  # the next hop reads what this one wrote
        own = lower_bound(targets, start, end, v, steps)
        after = lower_bound(targets, own, end, v + 1, steps)
        accepted = alive & (after - own > tl.where(v == bar, 1, 0))
        wanted = wanted & (accepted == 0)
        attempt += 1
    for h in tl.static_range(hops):  # what is left over was given up
        tl.store(nodes + i * (hops + 1) + h, root * 0 - 1, mask=wanted)
        tl.store(position + i * hops + h, root * 0 - 1, mask=wanted)
    tl.store(nodes + i * (hops + 1) + hops, root * 0 - 1, mask=wanted)


def constrained_paths(csr: SegmentedCSR, question: Constrained) -> tuple[Tensor, Tensor]:
    """Sample paths; see :func:`graphrec_pt.kernels.constrained_paths.constrained_paths`."""
    rows, many, hops = len(question.roots), question.many, question.hops
    device = question.roots.device
    nodes = torch.full((rows, many, hops + 1), -1, dtype=torch.int64, device=device)
    position = torch.full((rows, many, hops), -1, dtype=torch.int64, device=device)
    if rows and csr.num_edges:
        every = torch.arange(csr.num_nodes, device=device)
        first, last = csr.bounds(every)
        _sample[(triton.cdiv(rows * many, BLOCK),)](
            on_device(question.words, device),
            first,
            last,
            csr.node_type(every),
            csr.indices.contiguous(),
            question.targets,
            question.edge,
            question.roots,
            question.start,
            question.end,
            question.exclude,
            question.barred,
            question.through.long(),
            nodes,
            position,
            rows * many,
            many,
            question.tries,
            csr.num_edges.bit_length(),
            hops,
            len(question.edge) > 0,
            PATH_SHIFT,
            TRY_SHIFT,
            BLOCK,
            enable_fp_fusion=False,
        )
    return nodes, position

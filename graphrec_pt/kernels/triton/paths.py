"""Paths on a GPU: joins of both sides, and constrained walks by refusal."""

import torch
import triton
import triton.language as tl
from torch import Tensor

from graphrec_pt.kernels.csr import SegmentedCSR
from graphrec_pt.kernels.paths import PATH_SHIFT, TRY_SHIFT, Constrained, Question
from graphrec_pt.kernels.torch.paths import assemble
from graphrec_pt.kernels.triton.choice import lower_bound
from graphrec_pt.kernels.triton.philox import below, draw, on_device

PATHS_BLOCK = 128


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
    chosen = tl.full((size,), -1, tl.int64)
    for k in range(tl.max(parallel, axis=0)):
        position = tl.load(order + place + k, mask=k < parallel, other=0)
        allowed = k < parallel
        if numbered:
            allowed = allowed & (tl.load(edge + position, mask=allowed, other=-1) != barred)
        mark = tl.load(score + position, mask=allowed, other=float("-inf"))
        better = allowed & ((chosen < 0) | (mark > best))
        best, chosen = tl.where(better, mark, best), tl.where(better, position, chosen)
    tl.store(out + i, chosen, mask=inside)


def _join(
    csr: SegmentedCSR, question: Question, node: Tensor, slot: int, target: Tensor, exclude: Tensor
) -> Tensor:
    """Return the best, then first, edge of each (node, slot, target): −1 when there is none."""
    out = torch.empty_like(node, memory_format=torch.contiguous_format)
    if len(node):
        first = csr.first_segment(node) + slot
        _search[(triton.cdiv(len(node), PATHS_BLOCK),)](
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
            PATHS_BLOCK,
            enable_fp_fusion=False,
        )
    return out


def paths(csr: SegmentedCSR, question: Question) -> tuple[Tensor, Tensor, Tensor]:
    """Return the best instances; see :func:`graphrec_pt.kernels.paths.paths`."""
    return assemble(csr, question, _join)


WALKS_BLOCK = 128  # a thread for each path, which reads what it wrote


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
    for h in tl.static_range(hops):  # open walks reached no end
        tl.store(nodes + i * (hops + 1) + h, root * 0 - 1, mask=wanted)
        tl.store(position + i * hops + h, root * 0 - 1, mask=wanted)
    tl.store(nodes + i * (hops + 1) + hops, root * 0 - 1, mask=wanted)


def constrained_paths(csr: SegmentedCSR, question: Constrained) -> tuple[Tensor, Tensor]:
    """Sample paths; see :func:`graphrec_pt.kernels.paths.constrained_paths`."""
    rows, many, hops = len(question.roots), question.many, question.hops
    device = question.roots.device
    nodes = torch.full((rows, many, hops + 1), -1, dtype=torch.int64, device=device)
    position = torch.full((rows, many, hops), -1, dtype=torch.int64, device=device)
    if rows and csr.num_edges:
        every = torch.arange(csr.num_nodes, device=device)
        first, last = csr.bounds(every)
        _sample[(triton.cdiv(rows * many, WALKS_BLOCK),)](
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
            WALKS_BLOCK,
            enable_fp_fusion=False,
        )
    return nodes, position

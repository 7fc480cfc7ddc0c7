"""Random walks, one hop of all walkers at a time: the readable definition of every draw."""

import torch
from torch import Tensor

from graphrec_pt.kernels.adjacency import edge_relation
from graphrec_pt.kernels.csr import NO_TIME, SegmentedCSR
from graphrec_pt.kernels.philox import below, torch_philox
from graphrec_pt.kernels.torch.choice import Ranges, eligible, pick, unit
from graphrec_pt.kernels.torch.segments import lower_bound, ranges
from graphrec_pt.kernels.walk import LAST_BLOCK, REPEAT_SHIFT, TRY_BITS, WalkPlan

FINE = 1 << 16  # resolution of weight and of bias where the exact scan multiplies them


def walk(csr: SegmentedCSR, plan: WalkPlan) -> tuple[Tensor, Tensor, Tensor]:
    """Walk; see :func:`graphrec_pt.kernels.walk.walk`."""
    root = plan.roots.repeat_interleave(plan.repeats)  # [P]
    repeat = torch.arange(plan.repeats, device=root.device).repeat(len(plan.roots))
    after = plan.after.repeat_interleave(plan.repeats)
    exclude = None if plan.exclude is None else plan.exclude.repeat_interleave(plan.repeats)
    nodes = root.new_full((len(root), plan.length + 1), -1)  # [P, L+1]
    position = root.new_full((len(root), plan.length), -1)  # [P, L]
    known = plan.relations is not None
    relation = root.new_full((len(root), plan.length if known else 0), -1)
    nodes[:, 0] = root
    node, previous, since = root.clone(), torch.full_like(root, -1), after.clone()
    for hop, slot in enumerate(plan.slots.tolist()):
        row = (node >= 0).nonzero().squeeze(1)  # walkers still on their way
        if plan.plain:
            words = torch_philox(plan.words, root[row], (repeat[row] << REPEAT_SHIFT) | hop >> 2)
            edges = eligible(csr, node[row], slot, None)
            taken = _uniform(edges, words[:, hop & 3])
        else:
            block = (repeat[row] << REPEAT_SHIFT) | hop << TRY_BITS
            jump = torch_philox(plan.words, root[row], block)[:, 0] < plan.restart
            home = row[jump]
            row, block = row[~jump], block[~jump]
            edges = eligible(csr, node[row], slot, since[row] if plan.timed else None)
            banned = None if exclude is None else exclude[row]
            taken = _choose(csr, plan, edges, root[row], block, previous[row], banned)
            nodes[home, hop + 1] = root[home]
            previous[home], since[home] = -1, after[home]
        gone = taken >= 0
        on, edge = row[gone], taken[gone]
        position[on, hop] = edge
        if plan.relations is not None:
            relation[on, hop] = edge_relation(csr, plan.relations, edge, node[on])
        nodes[on, hop + 1] = csr.indices[edge].long()
        previous[on] = node[on]
        since[on] = NO_TIME if csr.time is None else csr.time[edge]
        node = nodes[:, hop + 1].clone()
    return nodes, position, relation


def _uniform(reachable: Ranges, bits: Tensor) -> Tensor:
    start, count = reachable.start[:, 0], reachable.end[:, 0] - reachable.start[:, 0]
    return torch.where(count > 0, start + below(bits, count), -1)


def _choose(
    csr: SegmentedCSR,
    plan: WalkPlan,
    reachable: Ranges,
    root: Tensor,
    block: Tensor,
    previous: Tensor,
    banned: Tensor | None,
) -> Tensor:
    """Return the edge position that each walker takes, −1 at a dead end: int64 ``[n]``."""
    taken = torch.full_like(root, -1)
    left = (reachable.end > reachable.start).any(1).nonzero().squeeze(1)
    for attempt in range(plan.tries):
        words = torch_philox(plan.words, root[left], block[left] + attempt)
        edge = pick(reachable.of(left), words[:, 2], words[:, 3], plan.cumulative)
        limit = _limit(csr, plan, edge, previous[left], None if banned is None else banned[left])
        accepted = (edge >= 0) & (words[:, 1] < limit)
        taken[left[accepted]] = edge[accepted]
        left = left[~accepted & (edge >= 0)]
    if len(left):
        words = torch_philox(plan.words, root[left], block[left] + LAST_BLOCK)
        taken[left] = _scan(csr, plan, reachable, left, words, previous, banned)
    return taken


def _limit(
    csr: SegmentedCSR, plan: WalkPlan, edge: Tensor, previous: Tensor, banned: Tensor | None
) -> Tensor:
    """Return how many of 2**32 words accept each candidate edge: int64 ``[n]``."""
    limit = torch.full_like(edge, 1 << 32)
    edge = edge.clamp(min=0)
    if plan.bias is not None:
        back, near, far = plan.bias
        target = csr.indices[edge].long()
        limit = torch.where(_adjacent(csr, plan, previous, target), near, far)
        limit = torch.where(target == previous, back, limit)
        limit = torch.where(previous < 0, 1 << 32, limit)
    if banned is not None and csr.edge is not None:
        limit = torch.where((csr.edge[edge] == banned) & (banned >= 0), 0, limit)
    return limit


def _adjacent(csr: SegmentedCSR, plan: WalkPlan, source: Tensor, target: Tensor) -> Tensor:
    """Say whether `source` (−1 for none) has an edge to `target` in any relation."""
    assert plan.targets is not None
    node = source.clamp(min=0)
    first, count = csr.first_segment(node), csr.slots[csr.node_type(node)]
    hit = torch.zeros_like(source, dtype=torch.bool)
    for slot in range(int(csr.slots.max())):
        here = (slot < count) & (source >= 0)
        segment = torch.where(here, first + slot, 0)
        end = csr.segment[segment + here.long()]
        place = lower_bound(plan.targets, csr.segment[segment], end, target)
        hit |= (place < end) & (plan.targets[place.clamp(max=csr.num_edges - 1)] == target)
    return hit


def _scan(
    csr: SegmentedCSR,
    plan: WalkPlan,
    reachable: Ranges,
    left: Tensor,
    words: Tensor,
    previous: Tensor,
    banned: Tensor | None,
) -> Tensor:
    """Choose among all allowed edges by integer masses; −1 when there is none."""
    few = reachable.of(left)
    width = few.start.shape[1]
    edge, owner = ranges(few.start.reshape(-1), (few.end - few.start).reshape(-1))
    owner = owner // width  # [M], ascending
    allowed = None if banned is None else banned[left][owner]
    limit = _limit(csr, plan, edge, previous[left][owner], allowed)
    mass = limit >> 16  # [M]
    if plan.cumulative is not None and csr.weight is not None:
        weight = torch.where(limit > 0, csr.weight[edge].double(), 0.0)
        largest = weight.new_zeros(len(left)).scatter_reduce(0, owner, weight, "amax")
        share = (weight / largest[owner] * FINE).nan_to_num(0.0).long()
        mass = mass * share
    running = mass.cumsum(0)
    total = torch.zeros_like(left).scatter_add(0, owner, mass)
    goal = (unit(words[:, 2], words[:, 3]) * total.double()).long().minimum(total - 1)
    before = total.cumsum(0) - total
    place = torch.searchsorted(running, before + goal, right=True)
    return torch.where(total > 0, edge[place.clamp(max=len(edge) - 1)], -1)

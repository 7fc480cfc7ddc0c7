"""Paths in plain torch: best instances by joining both sides, constrained walks by rejection."""

from collections.abc import Callable

import torch
from torch import Tensor

from graphrec_pt.kernels.csr import SegmentedCSR
from graphrec_pt.kernels.paths import PATH_SHIFT, TRY_SHIFT, Constrained, Question
from graphrec_pt.kernels.philox import below, torch_philox
from graphrec_pt.kernels.torch.segments import lower_bound, ranges

Join = Callable[[SegmentedCSR, Question, Tensor, int, Tensor, Tensor], Tensor]


def paths(csr: SegmentedCSR, question: Question) -> tuple[Tensor, Tensor, Tensor]:
    """Return the best instances; see :func:`graphrec_pt.kernels.paths.paths`."""
    return assemble(csr, question, best_parallel)


def assemble(csr: SegmentedCSR, question: Question, join: Join) -> tuple[Tensor, Tensor, Tensor]:
    """Expand both ends, `join` them and rank the instances."""
    hops = len(question.slots)
    pair = torch.arange(len(question.source), device=question.source.device)
    ends = torch.stack([question.source, question.target], dim=1)  # [B, 2]
    nodes = question.source.unsqueeze(1)  # [P, 1], grows by a column per hop
    for slot in question.slots[: 1 if hops < 4 else 2]:
        taboo = torch.cat([ends[pair], nodes[:, 1:]], dim=1)
        owner, neighbor = _expand(csr, question, nodes[:, -1], slot, question.exclude[pair], taboo)
        pair, nodes = pair[owner], torch.cat([nodes[owner], neighbor.unsqueeze(1)], dim=1)
    if hops > 2:
        pair, nodes = _meet(csr, question, ends, pair, nodes)
    nodes = torch.cat([nodes, question.target[pair].unsqueeze(1)], dim=1)  # [P, L+1]
    position = []
    for hop, slot in enumerate(question.slots):
        exclude = question.exclude[pair]
        position.append(join(csr, question, nodes[:, hop], slot, nodes[:, hop + 1], exclude))
    steps = torch.stack(position, dim=1)  # [P, L]
    exist = (steps >= 0).all(dim=1)
    return _best(question, pair[exist], nodes[exist], steps[exist])


def _expand(
    csr: SegmentedCSR, question: Question, node: Tensor, slot: int, exclude: Tensor, taboo: Tensor
) -> tuple[Tensor, Tensor]:
    """Return (row, neighbour) of the `cap` best distinct neighbours of each row."""
    first = csr.first_segment(node) + slot
    place, owner = ranges(csr.segment[first], csr.segment[first + 1] - csr.segment[first])
    position = question.best[place]
    neighbor = csr.indices[position].long()
    keep = (neighbor.unsqueeze(1) != taboo[owner]).all(dim=1)
    if len(question.edge):
        keep &= question.edge[position] != exclude[owner]
    neighbor, owner = neighbor[keep], owner[keep]
    # The first of equal (row, neighbour), still in best-first order.
    order = torch.sort(neighbor, stable=True).indices
    order = order[torch.sort(owner[order], stable=True).indices]
    again = torch.zeros_like(neighbor, dtype=torch.bool)
    same = (neighbor[order][1:] == neighbor[order][:-1]) & (owner[order][1:] == owner[order][:-1])
    again[order[1:]] = same
    neighbor, owner = neighbor[~again], owner[~again]
    capped = _rank(owner) < question.cap
    return owner[capped], neighbor[capped]


def _meet(
    csr: SegmentedCSR, question: Question, ends: Tensor, pair: Tensor, nodes: Tensor
) -> tuple[Tensor, Tensor]:
    """Return every way from the front of a pair to a neighbour of its target."""
    every = torch.arange(len(ends), device=ends.device)
    owner, back = _expand(csr, question, ends[:, 1], question.back, question.exclude, ends)
    count = torch.bincount(owner, minlength=len(every))
    start = count.cumsum(0) - count
    place, front = ranges(start[pair], count[pair])
    nodes = torch.cat([nodes[front], back[place].unsqueeze(1)], dim=1)
    simple = (nodes[:, :-1] != nodes[:, -1:]).all(dim=1)
    return pair[front][simple], nodes[simple]


def best_parallel(
    csr: SegmentedCSR, question: Question, node: Tensor, slot: int, target: Tensor, exclude: Tensor
) -> Tensor:
    """Return the best, then first, edge of each (node, slot, target): −1 when there is none."""
    first = csr.first_segment(node) + slot
    start, end = csr.segment[first], csr.segment[first + 1]
    low = lower_bound(question.targets, start, end, target)
    high = lower_bound(question.targets, low, end, target + 1)
    place, owner = ranges(low, high - low)
    position = question.order[place]
    if len(question.edge):
        allowed = question.edge[position] != exclude[owner]
        position, owner = position[allowed], owner[allowed]
    score = question.score[position]
    top = score.new_full(node.shape, float("-inf")).scatter_reduce(0, owner, score, "amax")
    best = score == top[owner]
    none = len(question.score)
    edge = torch.full_like(node, none).scatter_reduce(0, owner[best], position[best], "amin")
    return torch.where(edge == none, -1, edge)


def _best(
    question: Question, pair: Tensor, nodes: Tensor, position: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    hops = position.shape[1]
    total = question.score[position[:, 0]]
    for hop in range(1, hops):
        total = total + question.score[position[:, hop]]  # in this order, in every body
    score = total / hops
    order = torch.arange(len(pair), device=pair.device)
    for hop in range(hops - 1, 0, -1):
        order = order[torch.sort(nodes[order, hop], stable=True).indices]
    order = order[torch.sort(score[order], stable=True, descending=True).indices]
    order = order[torch.sort(pair[order], stable=True).indices]
    rank = _rank(pair[order])
    order, rank = order[rank < question.top], rank[rank < question.top]
    shape = (len(question.source), question.top)
    out = nodes.new_full((*shape, hops + 1), -1)
    steps = nodes.new_full((*shape, hops), -1)
    scores = score.new_full(shape, float("-inf"))
    where = pair[order], rank
    out[where], steps[where], scores[where] = nodes[order], position[order], score[order]
    return out, steps, scores


def _rank(owner: Tensor) -> Tensor:
    """Return the place of each element among those of its owner; owners ascend."""
    place = torch.arange(len(owner), device=owner.device)
    return place - torch.searchsorted(owner, owner)


def constrained_paths(csr: SegmentedCSR, question: Constrained) -> tuple[Tensor, Tensor]:
    """Sample paths; see :func:`graphrec_pt.kernels.paths.constrained_paths`."""
    rows, many, hops = len(question.roots), question.many, question.hops
    device = question.roots.device
    nodes = torch.full((rows * many, hops + 1), -1, dtype=torch.int64, device=device)
    position = torch.full((rows * many, hops), -1, dtype=torch.int64, device=device)
    pending = torch.arange(rows * many, device=device)  # row · many + path
    for attempt in range(question.tries):
        if not len(pending):
            break
        walked, taken = _walk(csr, question, pending // many, pending % many, attempt)
        accepted = taken[:, -1] >= 0
        nodes[pending[accepted]] = walked[accepted]
        position[pending[accepted]] = taken[accepted]
        pending = pending[~accepted]
    return nodes.view(rows, many, hops + 1), position.view(rows, many, hops)


def _walk(
    csr: SegmentedCSR, question: Constrained, row: Tensor, path: Tensor, attempt: int
) -> tuple[Tensor, Tensor]:
    """Return nodes ``[P, L+1]`` and positions ``[P, L]`` of one walk each; −1 once refused."""
    block = (path << PATH_SHIFT) | (attempt << TRY_SHIFT)
    roots = question.roots[row]
    bits = [
        torch_philox(question.words, roots, block),
        torch_philox(question.words, roots, block + 1),
    ]
    words = torch.cat(bits, dim=1)  # [P, 8]
    nodes, taken = roots.unsqueeze(1), row.new_empty(len(row), 0)
    alive = torch.ones_like(row, dtype=torch.bool)
    start, end = question.start[row], question.end[row]
    for hop in range(question.hops):
        if hop:
            start, end = csr.bounds(nodes[:, -1].clamp(min=0))
        alive = alive & (end > start)
        place = torch.where(alive, start + below(words[:, hop], end - start), 0)
        node = csr.indices[place].long() if csr.num_edges else place
        alive = alive & (node.unsqueeze(1) != nodes).all(dim=1)
        if len(question.edge):
            alive = alive & (question.edge[place] != question.exclude[row])
        if 0 < hop < question.hops - 1:
            alive = alive & question.through[csr.node_type(node)]
        nodes = torch.cat([nodes, torch.where(alive, node, -1).unsqueeze(1)], dim=1)
        taken = torch.cat([taken, torch.where(alive, place, -1).unsqueeze(1)], dim=1)
    arrived = _is_own(question, row, nodes[:, -1])
    taken[:, -1] = torch.where(arrived, taken[:, -1], -1)
    return nodes, taken


def _is_own(question: Constrained, row: Tensor, node: Tensor) -> Tensor:
    """Return whether each root has an edge to the node that is not excluded."""
    start, end = question.start[row], question.end[row]
    low = lower_bound(question.targets, start, end, node)
    high = lower_bound(question.targets, low, end, node + 1)
    return (node >= 0) & (high - low > (node == question.barred[row]))

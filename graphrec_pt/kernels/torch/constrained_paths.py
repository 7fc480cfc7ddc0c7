"""Constrained paths by refusing walks: every path that is still wanted tries once per round."""

import torch
from torch import Tensor

from graphrec_pt.kernels.constrained_paths import PATH_SHIFT, TRY_SHIFT, Constrained
from graphrec_pt.kernels.csr import SegmentedCSR
from graphrec_pt.kernels.philox import below
from graphrec_pt.kernels.torch.philox import philox
from graphrec_pt.kernels.torch.segments import lower_bound


def constrained_paths(csr: SegmentedCSR, question: Constrained) -> tuple[Tensor, Tensor]:
    """Sample paths; see :func:`graphrec_pt.kernels.constrained_paths.constrained_paths`."""
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
    bits = [philox(question.words, roots, block), philox(question.words, roots, block + 1)]
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
    own = _is_own(question, row, nodes[:, -1])
    taken[:, -1] = torch.where(own, taken[:, -1], -1)
    return nodes, taken


def _is_own(question: Constrained, row: Tensor, node: Tensor) -> Tensor:
    """Say whether each root has an edge to the node that is not excluded."""
    start, end = question.start[row], question.end[row]
    low = lower_bound(question.targets, start, end, node)
    high = lower_bound(question.targets, low, end, node + 1)
    return (node >= 0) & (high - low > (node == question.barred[row]))

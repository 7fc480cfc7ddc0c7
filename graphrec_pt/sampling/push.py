"""Forward push where every root has an edge of its own taken out."""

from typing import NamedTuple

import torch
from torch import Tensor

from graphrec_pt.graph.graph import Graph
from graphrec_pt.kernels.ppr import ALPHA_BITS, ONE
from graphrec_pt.kernels.torch.segments import ranges

_UNKNOWN = 2  # an excluded id stands at most twice among a node's edges


class _State(NamedTuple):
    """What each (root, node) met so far holds, ascending by root and node.

    Args:
        key: int64 ``[S]``, ``row · N + node``.
        residual: int64 ``[S]``.
        estimate: int64 ``[S]``.
        cut: int64 ``[S]``, excluded edges at the node; :data:`_UNKNOWN` until they are counted.
    """

    key: Tensor
    residual: Tensor
    estimate: Tensor
    cut: Tensor


def excluded_ppr(
    graph: Graph, roots: Tensor, k: int, alpha: float, epsilon: float, exclude: Tensor
) -> tuple[Tensor, Tensor]:
    """Return what :func:`graphrec_pt.kernels.ppr.ppr` returns on the graph without each edge.

    The same rounds in the same integers, over all roots at once and only the nodes they reach.

    Args:
        graph: The graph.
        roots: int64 ``[B]``.
        k: How many nodes to return.
        alpha: Probability to end at each step.
        epsilon: Residual left per edge.
        exclude: int64 ``[B]`` edge ids, −1 for none.

    Returns:
        int64 ``[B, k]`` nodes, −1 past the end, and float64 ``[B, k]`` scores.
    """
    csr, n = graph.csr, graph.num_nodes()
    stop, least = max(round(alpha * (1 << ALPHA_BITS)), 1), int(epsilon * ONE)
    key = torch.arange(len(roots), device=roots.device) * n + roots
    whole = torch.full_like(roots, ONE)
    state = _State(key, whole, torch.zeros_like(roots), torch.full_like(roots, _UNKNOWN))
    low, high = csr.bounds(torch.arange(n, device=roots.device))
    degree = high - low
    while True:
        left = (degree[state.key % n] - state.cut).clamp(min=0)
        front = (state.residual > _times(least, left)).nonzero().squeeze(1)
        if not len(front):
            state.estimate.add_(_fraction(state.residual, stop))  # what certainly ends there
            return _best(state, len(roots), n, k)
        row, node = state.key[front] // n, state.key[front] % n
        place, owner = ranges(low[node], degree[node])
        banned = torch.zeros_like(place, dtype=torch.bool)
        if csr.edge is not None:
            banned = (csr.edge[place] == exclude[row][owner]) & (exclude[row][owner] >= 0)
        cut = torch.bincount(owner[banned], minlength=len(front))
        state.cut[front] = cut
        left = degree[node] - cut
        pushes = state.residual[front] > _times(least, left)
        mass = torch.where(pushes, state.residual[front], 0)
        share = (mass - _fraction(mass, stop)) // left.clamp(min=1)
        state.residual[front] -= mass
        state.estimate[front] += mass - share * left
        given = ~banned & pushes[owner]
        target = row[owner[given]] * n + csr.indices[place[given]].long()
        state = _with(state, target, share[owner[given]])


def _with(state: _State, key: Tensor, mass: Tensor) -> _State:
    """Return the state with masses added to residuals."""
    keys, at = torch.unique(torch.cat([state.key, key]), return_inverse=True)
    old, new = at[: len(state.key)], at[len(state.key) :]
    residual, estimate = torch.zeros_like(keys), torch.zeros_like(keys)
    cut = torch.full_like(keys, _UNKNOWN)
    residual[old], estimate[old], cut[old] = state.residual, state.estimate, state.cut
    return _State(keys, residual.index_add_(0, new, mass), estimate, cut)


def _best(state: _State, size: int, n: int, k: int) -> tuple[Tensor, Tensor]:
    order = torch.argsort(state.estimate, descending=True, stable=True)
    order = order[torch.argsort(state.key[order] // n, stable=True)]
    order = order[state.estimate[order] > 0]
    row = state.key[order] // n
    rank = torch.arange(len(row), device=row.device) - torch.searchsorted(row, row)
    kept = rank < k
    nodes = torch.full((size, k), -1, device=row.device)
    scores = torch.zeros(size, k, dtype=torch.float64, device=row.device)
    nodes[row[kept], rank[kept]] = state.key[order[kept]] % n
    scores[row[kept], rank[kept]] = state.estimate[order[kept]].double() / ONE
    return nodes, scores


def _times(least: int, degree: Tensor) -> Tensor:
    return least * degree.clamp(max=(1 << 62) // least)


def _fraction(mass: Tensor, stop: int) -> Tensor:
    """Return ``floor(mass · stop / 2**ALPHA_BITS)`` without leaving 64 bits."""
    high, low = mass >> ALPHA_BITS, mass & ((1 << ALPHA_BITS) - 1)
    return high * stop + (low * stop >> ALPHA_BITS)

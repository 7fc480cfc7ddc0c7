"""Top-k personalised PageRank by forward push in fixed-point numbers."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import pad

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.kernels.csr import (
    SegmentedCSR,
    check_edges,
    check_exclude,
    check_nodes,
    check_positive,
)
from graphrec_pt.kernels.dispatch import body
from graphrec_pt.kernels.torch.segments import ranges

ONE_BITS = 60
ONE = 1 << ONE_BITS
"""The whole probability of a root: masses are int64 multiples of 2**-60."""
ALPHA_BITS = 31  # so that ``ONE · alpha`` fits 64 bits in two halves


def ppr(
    csr: SegmentedCSR,
    roots: Tensor,
    k: int,
    *,
    alpha: float = 0.15,
    epsilon: float = 1e-4,
    exclude: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Return the k nodes with the highest personalised PageRank of each root.

    π_root(v) is the probability that a walk from the root stands at v when it ends: at every node
    it ends with probability α, else it takes a uniform edge of any relation; at a dead end it
    ends. Forward push (Andersen, Chung and Lang, FOCS 2006) keeps an estimate p and a residual r:
    first the root, then every round each node u whose residual exceeds ``epsilon · degree(u)``
    gives α of it to p(u) and the rest in equal shares to its edges. Whatever the graph, at the end

        π(v) = p(v) + Σ_u r(u) · π_u(v)   with   0 ≤ r(u) ≤ epsilon · degree(u).

    As π_v(v) ≥ α, the score is ``p(v) + α · r(v)``: it never exceeds π by more than the rounding,
    and on a graph whose edges all have their inverses ``π(v) - score(v) ≤ epsilon · degree(v)``.
    The work for a root is at most ``1 / (alpha · epsilon)`` edges beside its own, whatever the size
    of the graph. Masses are integers (2⁻⁶⁰), so that nothing depends on the order of additions and
    every body returns the same bits; rounding moves at most ``2⁻⁶⁰ / (alpha · epsilon)`` of a
    root's mass, α is a multiple of 2⁻³¹.

    Args:
        csr: The graph.
        roots: int64 ``[B]``, global ids.
        k: How many nodes to return.
        alpha: Probability to end at each step, between 0 and 1.
        epsilon: Residual left per edge, at least 1e-12.
        exclude: int64 ``[B]``, the edge id that walks of each root take in neither direction, −1
            for none: as if the graph had been built without it, degrees included. An id may occur
            at most twice among a node's edges, and only between two nodes.

    Returns:
        Nodes int64 ``[B, k]`` and scores float64 ``[B, k]``, falling, equal ones by id; the root
        is among them. −1 and 0 where fewer than k nodes were reached.

    Raises:
        GraphRecError: For roots outside the graph, k, alpha or epsilon out of range, an `exclude`
            that does not fit the roots, or a graph that has no edge ids for it.
    """
    check_positive("ppr", "k", k)
    check_nodes("ppr", csr, roots, "root")
    check_edges("ppr", csr)
    if not 0 < alpha < 1:
        raise GraphRecError("ppr", "0 < alpha < 1", alpha)
    if not 1e-12 <= epsilon < 1:
        raise GraphRecError("ppr", "1e-12 <= epsilon < 1", epsilon)
    if exclude is not None:
        exclude = check_exclude("ppr", csr, exclude, len(roots))
    stop, least = max(round(alpha * (1 << ALPHA_BITS)), 1), int(epsilon * ONE)
    node, mass = body("ppr", csr.indices)(csr, roots.contiguous(), k, stop, least, exclude)
    return node, mass.double() / ONE


CELLS = 1 << 24  # residuals held at once, B · N
Give = Callable[[SegmentedCSR, Tensor, Tensor, Tensor, Tensor], None]


def torch_ppr(
    csr: SegmentedCSR, roots: Tensor, k: int, stop: int, least: int, exclude: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Return top-k nodes and masses.

    Args:
        csr: The graph.
        roots: int64 ``[B]``.
        k: How many nodes.
        stop: α in multiples of ``2**-ALPHA_BITS``.
        least: ε as a mass.
        exclude: int64 ``[B]`` edge ids or None.

    Returns:
        int64 ``[B, k]`` nodes, −1 past the end, and int64 ``[B, k]`` masses, 0 past the end.
    """
    return push_all(csr, roots, k, stop, least, exclude, _give)


def push_all(
    csr: SegmentedCSR,
    roots: Tensor,
    k: int,
    stop: int,
    least: int,
    exclude: Tensor | None,
    give: Give,
) -> tuple[Tensor, Tensor]:
    """Push until every residual is small, some roots at a time; `give` hands masses on."""
    many = max(CELLS // max(csr.num_nodes, 1), 1)
    parts = []
    for first in range(0, max(len(roots), 1), many):
        banned = None if exclude is None else exclude[first : first + many]
        parts.append(_push(csr, roots[first : first + many], k, stop, least, banned, give))
    nodes, masses = zip(*parts, strict=True)
    return torch.cat(nodes), torch.cat(masses)


def _push(
    csr: SegmentedCSR,
    roots: Tensor,
    k: int,
    stop: int,
    least: int,
    exclude: Tensor | None,
    give: Give,
) -> tuple[Tensor, Tensor]:
    n, device = csr.num_nodes, roots.device
    start, end = csr.bounds(torch.arange(n, device=device))
    degree = (end - start)[None]  # [1, N]
    if exclude is not None:
        source, target = _excluded(csr, end, exclude)
        degree = degree.repeat(len(roots), 1)  # [B, N]
        degree.view(-1).index_add_(0, source, torch.full_like(source, -1))
    limit = least * degree.clamp(max=(1 << 62) // least)
    degree = degree.expand(len(roots), n)
    residual = torch.zeros(len(roots), n, dtype=torch.int64, device=device)  # [B, N]
    estimate = torch.zeros_like(residual)
    row, node = torch.arange(len(roots), device=device), roots
    residual[row, node] = ONE
    while len(row):
        mass = residual[row, node]
        residual[row, node] = 0
        left = degree[row, node]
        share = (mass - _fraction(mass, stop)) // left.clamp(min=1)
        estimate[row, node] += mass - share * left  # with what the division leaves
        give(csr, residual, row, node, share)
        if exclude is not None:  # take back what went along excluded edges
            cell = row * n + node  # ascending
            at = torch.searchsorted(cell, source).clamp(max=len(cell) - 1)
            taken = torch.where(cell[at] == source, share[at], 0)
            residual.view(-1).index_add_(0, target, -taken)
        row, node = (residual > limit).nonzero(as_tuple=True)
    estimate += _fraction(residual, stop)  # what certainly ends where it lies
    falling = torch.sort(estimate, dim=1, descending=True, stable=True)
    masses = falling.values[:, :k]
    nodes = falling.indices[:, :k].masked_fill(masses == 0, -1)
    missing = (0, max(k - n, 0))
    return pad(nodes, missing, value=-1), pad(masses, missing)


def _excluded(csr: SegmentedCSR, end: Tensor, exclude: Tensor) -> tuple[Tensor, Tensor]:
    """Return source and target of every excluded edge as cells ``row · N + node`` of ``[B, N]``.

    One pass over all edge ids, whatever the number of roots.
    """
    assert csr.edge is not None
    number, row = exclude.sort()
    many = int(csr.edge.max()) + 1 if csr.num_edges else 0
    wanted = torch.zeros(many, dtype=torch.bool, device=number.device)
    wanted[number[(number >= 0) & (number < many)]] = True
    place = wanted.index_select(0, csr.edge).nonzero().squeeze(1)
    edge = csr.edge[place].long()
    first, last = (torch.searchsorted(number, edge, right=right) for right in (False, True))
    at, owner = ranges(first, last - first)  # every root that excludes the edge
    base, place = row[at] * csr.num_nodes, place[owner]
    source = torch.searchsorted(end, place, right=True)
    return base + source, base + csr.indices[place].long()


def _fraction(mass: Tensor, stop: int) -> Tensor:
    """Return ``floor(mass · stop / 2**ALPHA_BITS)`` without leaving 64 bits."""
    high, low = mass >> ALPHA_BITS, mass & ((1 << ALPHA_BITS) - 1)
    return high * stop + (low * stop >> ALPHA_BITS)


def _give(csr: SegmentedCSR, residual: Tensor, row: Tensor, node: Tensor, share: Tensor) -> None:
    """Add each share to the residual of every neighbour of its node."""
    start, end = csr.bounds(node)
    place, owner = ranges(start, end - start)
    target = row[owner] * residual.shape[1] + csr.indices[place].long()
    residual.view(-1).index_add_(0, target, share[owner])

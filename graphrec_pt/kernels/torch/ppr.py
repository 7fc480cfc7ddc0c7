"""Forward push for many roots at once: rounds of gather and scatter over dense residuals."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import pad

from graphrec_pt.kernels.csr import SegmentedCSR
from graphrec_pt.kernels.ppr import ALPHA_BITS, ONE
from graphrec_pt.kernels.torch.segments import ranges

CELLS = 1 << 24  # residuals held at once, B · N
Give = Callable[[SegmentedCSR, Tensor, Tensor, Tensor, Tensor], None]


def ppr(csr: SegmentedCSR, roots: Tensor, k: int, stop: int, least: int) -> tuple[Tensor, Tensor]:
    """Return top-k nodes and masses.

    Args:
        csr: The graph.
        roots: int64 ``[B]``.
        k: How many nodes.
        stop: α in multiples of ``2**-ALPHA_BITS``.
        least: ε as a mass.

    Returns:
        int64 ``[B, k]`` nodes, −1 past the end, and int64 ``[B, k]`` masses, 0 past the end.
    """
    return push_all(csr, roots, k, stop, least, _give)


def push_all(
    csr: SegmentedCSR, roots: Tensor, k: int, stop: int, least: int, give: Give
) -> tuple[Tensor, Tensor]:
    """Push until every residual is small, some roots at a time; `give` hands masses on."""
    many = max(CELLS // max(csr.num_nodes, 1), 1)
    parts = [_push(csr, part, k, stop, least, give) for part in torch.split(roots, many)]
    nodes, masses = zip(*parts, strict=True)
    return torch.cat(nodes), torch.cat(masses)


def _push(
    csr: SegmentedCSR, roots: Tensor, k: int, stop: int, least: int, give: Give
) -> tuple[Tensor, Tensor]:
    n, device = csr.num_nodes, roots.device
    start, end = csr.bounds(torch.arange(n, device=device))
    degree = end - start
    limit = least * degree.clamp(max=(1 << 62) // least)
    residual = torch.zeros(len(roots), n, dtype=torch.int64, device=device)  # [B, N]
    estimate = torch.zeros_like(residual)
    row, node = torch.arange(len(roots), device=device), roots
    residual[row, node] = ONE
    while len(row):
        mass = residual[row, node]
        residual[row, node] = 0
        share = (mass - _fraction(mass, stop)) // degree[node].clamp(min=1)
        estimate[row, node] += mass - share * degree[node]  # with what the division leaves
        give(csr, residual, row, node, share)
        row, node = (residual > limit).nonzero(as_tuple=True)
    estimate += _fraction(residual, stop)  # what certainly ends where it lies
    falling = torch.sort(estimate, dim=1, descending=True, stable=True)
    masses = falling.values[:, :k]
    nodes = falling.indices[:, :k].masked_fill(masses == 0, -1)
    missing = (0, max(k - n, 0))
    return pad(nodes, missing, value=-1), pad(masses, missing)


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

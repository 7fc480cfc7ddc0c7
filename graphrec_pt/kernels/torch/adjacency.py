"""Membership of an edge and the edges among nodes, in plain torch."""

import torch
from torch import Tensor

from graphrec_pt.kernels.csr import SegmentedCSR
from graphrec_pt.kernels.torch.segments import lower_bound, ranges


def member(
    csr: SegmentedCSR, targets: Tensor, source: Tensor, slot: Tensor, target: Tensor
) -> Tensor:
    """Say whether edges exist; see :func:`graphrec_pt.kernels.adjacency.member`."""
    first = csr.first_segment(source)
    exists = torch.zeros_like(source, dtype=torch.bool)
    count = csr.slots[csr.node_type(source)]
    for k in range(int(csr.slots.max()) if len(csr.slots) else 0):
        active = ((slot == k) | (slot == -1)) & (k < count)
        segment = first[active] + k
        end = csr.segment[segment + 1]
        place = lower_bound(targets, csr.segment[segment], end, target[active])
        inside = place < end
        hit = torch.zeros_like(inside)
        hit[inside] = targets[place[inside]] == target[active][inside]
        exists[active] |= hit
    return exists


def induce(
    csr: SegmentedCSR,
    targets: Tensor,
    nodes: Tensor,
    ptr: Tensor,
    sequence: Tensor,
    ordered: Tensor,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Find the edges inside sequences.

    Args:
        csr: The graph.
        targets: ``[E]``, `csr.indices` ascending inside each segment.
        nodes: int64 ``[T]``.
        ptr: int64 ``[B+1]``.
        sequence: int64 ``[T]``, the sequence of each token.
        ordered: int64 ``[T]``, `nodes` ascending inside each sequence.

    Returns:
        Four int64 ``[M]``: token of the source, slot, place of the target in `ordered`, place of
        the edge in `targets`; ascending in this order.
    """
    length = ptr.diff()[sequence]
    other, token = ranges(ptr[sequence], length)  # [Σ length²]
    first, count = csr.first_segment(nodes), csr.slots[csr.node_type(nodes)]
    found = []
    for k in range(max(int(csr.slots.max()), 1)):
        asked = k < count[token]
        source, target = token[asked], other[asked]
        start, end = csr.segment[first[source] + k], csr.segment[first[source] + k + 1]
        low = lower_bound(targets, start, end, ordered[target])
        high = lower_bound(targets, low, end, ordered[target] + 1)
        place, pair = ranges(low, high - low)
        found.append((source[pair], torch.full_like(place, k), target[pair], place))
    token, slot, target, place = (torch.cat(column) for column in zip(*found, strict=True))
    by_token = torch.sort(token, stable=True).indices
    return token[by_token], slot[by_token], target[by_token], place[by_token]

"""Edge membership, and the edges induced by the nodes of each sequence.

Both search targets in ascending order; the first call on a graph sorts its segments once.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from graphrec_pt.kernels.csr import SegmentedCSR, check_nodes, check_slot
from graphrec_pt.kernels.derived import sorted_targets, target_order
from graphrec_pt.kernels.dispatch import body
from graphrec_pt.kernels.sparse import check_ptr, owners
from graphrec_pt.kernels.torch.segments import lower_bound, ranges

ANY = -1
"""`slot` of a question about every relation that leaves the source."""


def member(csr: SegmentedCSR, source: Tensor, slot: Tensor | int, target: Tensor) -> Tensor:
    """Return whether the edge of each triple exists, by binary search.

    The first call on a graph sorts its segments by target
    (:func:`graphrec_pt.kernels.derived.sorted_targets`).

    Args:
        csr: The graph.
        source: int64 ``[K]``, global ids.
        slot: int64 ``[K]`` or one integer for all; -1 asks about every relation of the source.
        target: int64 ``[K]``, global ids.

    Returns:
        bool ``[K]``.

    Raises:
        GraphRecError: For ids outside the graph, slots that a source lacks, unequal lengths.
    """
    check_nodes("member", csr, source, "source")
    check_nodes("member", csr, target, "target", length=len(source))
    slots = check_slot("member", csr, source, slot, any_slot=True)
    exists: Tensor = body("adjacency.member", csr.indices)(
        csr, sorted_targets(csr), source, slots, target
    )
    return exists


def in_batch(csr: SegmentedCSR, source: Tensor, slot: Tensor | int, target: Tensor) -> Tensor:
    """Return which pairs of a batch are true edges, so that in-batch negatives can leave them out.

    Args:
        csr: The graph.
        source: int64 ``[B]``, global ids.
        slot: int64 ``[B]`` or one integer; -1 for every relation.
        target: int64 ``[B]``, the positives.

    Returns:
        bool ``[B, B]``: whether (source of the row, target of the column) is an edge.
    """
    rows = len(source)
    slots = slot.repeat_interleave(rows) if isinstance(slot, Tensor) else slot
    pairs = member(csr, source.repeat_interleave(rows), slots, target.repeat(rows))
    return pairs.view(rows, rows)


class Induced(NamedTuple):
    """Edges inside the sequences of a batch.

    Args:
        edges: int64 ``[M, 3]``: source and target as indices inside the sequence (columns 0
            and 2), relation slot of the source (column 1).
        position: int64 ``[M]``, index into `csr.indices` (and `time`, `weight`, `edge`).
        ptr: int64 ``[B+1]``, the edges of each sequence.
    """

    edges: Tensor
    position: Tensor
    ptr: Tensor


def induce(csr: SegmentedCSR, nodes: Tensor, ptr: Tensor) -> Induced:
    """Return every edge whose two ends lie in the same sequence.

    Each (token, relation) walks through the shorter of its segment and the sequence, and finds
    each element in the other by binary search, so that a hub costs no more than the length of its
    sequence. A node that occurs in a sequence twice has its edges at both places.

    Args:
        csr: The graph.
        nodes: int64 ``[T]``, global ids of all sequences, one after the other.
        ptr: int64 ``[B+1]``, where each sequence starts.

    Returns:
        :class:`Induced`, ordered by sequence, source, slot, target's global id, target and
        position.

    Raises:
        GraphRecError: For ids outside the graph, and a `ptr` that does not fit `nodes`.
    """
    check_nodes("induce", csr, nodes, "node")
    check_ptr("induce", ptr, len(nodes))
    sequence = owners(ptr, len(nodes))  # [T]
    order = torch.sort(nodes, stable=True).indices
    order = order[torch.sort(sequence[order], stable=True).indices]
    ordered = nodes[order].contiguous()  # [T], ascending inside each sequence
    inside = order - ptr[sequence]  # [T], where each stood in its sequence
    token, slot, target, place = body("adjacency.induce", csr.indices)(
        csr, sorted_targets(csr), nodes.contiguous(), ptr, sequence, ordered
    )
    edges = torch.stack([token - ptr[sequence[token]], slot, inside[target]], dim=1)  # [M, 3]
    count = torch.bincount(sequence[token], minlength=len(ptr) - 1)
    starts = torch.cat([count.new_zeros(1), count.cumsum(0)])
    return Induced(edges, target_order(csr)[place], starts)


def torch_member(
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


def torch_induce(
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

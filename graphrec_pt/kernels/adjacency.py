"""Edge membership, and the edges induced by the nodes of each sequence.

Both search targets in ascending order; the first call on a graph sorts its segments once.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from graphrec_pt.kernels.csr import SegmentedCSR, check_nodes, check_slot
from graphrec_pt.kernels.derived import sorted_targets, target_order
from graphrec_pt.kernels.dispatch import body
from graphrec_pt.kernels.sparse import check_ptr
from graphrec_pt.kernels.transposed import owners

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

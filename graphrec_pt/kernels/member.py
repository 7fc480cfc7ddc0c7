"""Membership: is (u, r, v) an edge of the graph."""

from torch import Tensor

from graphrec_pt.kernels.checks import check_nodes, check_slot
from graphrec_pt.kernels.csr import SegmentedCSR
from graphrec_pt.kernels.dispatch import body
from graphrec_pt.kernels.sorted_targets import sorted_targets

ANY = -1
"""`slot` of a question about every relation that leaves the source."""


def member(csr: SegmentedCSR, source: Tensor, slot: Tensor | int, target: Tensor) -> Tensor:
    """Say for each triple whether the edge exists, by binary search.

    The first call on a graph sorts its segments by target
    (:func:`graphrec_pt.kernels.sorted_targets.sorted_targets`).

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
    found: Tensor = body("member", csr.indices)(csr, sorted_targets(csr), source, slots, target)
    return found


def in_batch(csr: SegmentedCSR, source: Tensor, slot: Tensor | int, target: Tensor) -> Tensor:
    """Say which pairs of a batch are true edges, so that in-batch negatives can leave them out.

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

"""Edge membership, the edges induced by the nodes of each sequence, and the sorted arrays for both.

Both search targets in ascending order; the first call on a graph sorts its segments once.
"""

from importlib import import_module
from typing import NamedTuple

import torch
from torch import Tensor

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.core.memo import Memo
from graphrec_pt.kernels.csr import SegmentedCSR, check_edges, check_nodes, check_slot
from graphrec_pt.kernels.dispatch import body
from graphrec_pt.kernels.sparse import check_ptr, owners
from graphrec_pt.kernels.torch.segments import lower_bound, ranges

_sums: Memo[Tensor] = Memo()  # of the weights


def cumulative_weight(csr: SegmentedCSR, who: str) -> Tensor:
    """Return the weight of each node's edges up to and including each edge.

    Float64 sums in edge order that begin anew at every node. One loop on the CPU computes them for
    all bodies, so that these search the same bits. Built once and kept as long as `csr.weight`.

    Args:
        csr: The graph.
        who: The caller, named in errors.

    Returns:
        float64 ``[E]``.

    Raises:
        GraphRecError: When the graph has no weights, or one is negative, infinite or NaN.
    """
    weight = csr.weight
    if weight is None:
        raise GraphRecError(who, "a graph with weights for weighted=True", "none")

    def made() -> Tensor:
        wrong = ~((weight >= 0) & (weight < torch.inf))
        if bool(wrong.any()):
            i = int(wrong.nonzero()[0])
            got = f"{float(weight[i])} at edge position {i}"
            hint = "weighted=False, or `where: WEIGHT >= 0` in the card's edges and a new graph"
            raise GraphRecError(who, "weights >= 0 and finite", got, hint)
        check_edges(who, csr)
        compiled = import_module("graphrec_pt.kernels.numba.adjacency")
        sums: Tensor = compiled.cumulative_weight(csr)
        return sums.to(weight.device)

    return _sums(weight, None, made, given=(csr.segment,))


# Both of the indices; None stands for the indices themselves, which a value must not hold.
_targets: Memo[Tensor | None] = Memo()
_orders: Memo[Tensor] = Memo()


def sorted_targets(csr: SegmentedCSR) -> Tensor:
    """Return the targets of every segment in ascending order.

    Args:
        csr: The graph.

    Returns:
        int32 or int64 ``[E]`` like `csr.indices`; `csr.indices` itself when it already ascends.
    """
    targets = _targets(csr.indices, None, lambda: _sort(csr), given=(csr.segment,))
    return csr.indices if targets is None else targets


def target_order(csr: SegmentedCSR) -> Tensor:
    """Return the edge at each place of :func:`sorted_targets`.

    Args:
        csr: The graph.

    Returns:
        int64 ``[E]``: ``sorted_targets(csr) == csr.indices[target_order(csr)]``; parallel edges
        keep their order.
    """
    return _orders(csr.indices, None, lambda: _order(csr), given=(csr.segment,))


def _order(csr: SegmentedCSR) -> Tensor:
    check_edges("sorted targets", csr)
    # On a GPU the library's radix sort is the fast one, so there are two bodies.
    permutation: Tensor = body("adjacency.target_order", csr.indices)(csr)
    return permutation


def _sort(csr: SegmentedCSR) -> Tensor | None:
    steps_down = csr.indices[1:] < csr.indices[:-1]
    inner = csr.segment[1:-1]
    starts = inner[(inner > 0) & (inner < csr.num_edges)]
    steps_down[starts - 1] = False  # a new segment may start lower
    return csr.indices[target_order(csr)] if bool(steps_down.any()) else None


def torch_target_order(csr: SegmentedCSR) -> Tensor:
    """Return edges by (segment, target); see :func:`graphrec_pt.kernels.adjacency`."""
    segments = torch.arange(csr.segment.shape[0] - 1, device=csr.segment.device)
    owner = segments.repeat_interleave(csr.segment.diff(), output_size=csr.num_edges)  # [E]
    by_target = torch.sort(csr.indices, stable=True).indices
    return by_target[torch.sort(owner[by_target], stable=True).indices]


ANY = -1
"""`slot` of a question about every relation that leaves the source."""


def member(csr: SegmentedCSR, source: Tensor, slot: Tensor | int, target: Tensor) -> Tensor:
    """Return whether the edge of each triple exists, by binary search.

    The first call on a graph sorts its segments by target
    (:func:`graphrec_pt.kernels.adjacency.sorted_targets`).

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


def edge_relation(csr: SegmentedCSR, relations: Tensor, edge: Tensor, source: Tensor) -> Tensor:
    """Return the relation of each stored edge.

    Args:
        csr: The graph.
        relations: int64 ``[S, most slots]``, the number of the relation of each slot of a type.
        edge: int64 ``[K]``, positions in `csr.indices`.
        source: int64 ``[K]``, the node that each edge leaves.

    Returns:
        int64 ``[K]``.
    """
    number: Tensor = body("adjacency.edge_relation", csr.indices)(csr, relations, edge, source)
    return number


def torch_edge_relation(
    csr: SegmentedCSR, relations: Tensor, edge: Tensor, source: Tensor
) -> Tensor:
    """Find relations by binary search; see :func:`graphrec_pt.kernels.adjacency.edge_relation`."""
    kind, first = csr.node_type(source), csr.first_segment(source)
    after = lower_bound(csr.segment, first + 1, first + csr.slots[kind], edge + 1)
    return relations[kind, after - first - 1]


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
    parts = []
    for k in range(max(int(csr.slots.max()), 1)):
        present = k < count[token]
        source, target = token[present], other[present]
        start, end = csr.segment[first[source] + k], csr.segment[first[source] + k + 1]
        low = lower_bound(targets, start, end, ordered[target])
        high = lower_bound(targets, low, end, ordered[target] + 1)
        place, pair = ranges(low, high - low)
        parts.append((source[pair], torch.full_like(place, k), target[pair], place))
    token, slot, target, place = (torch.cat(column) for column in zip(*parts, strict=True))
    by_token = torch.sort(token, stable=True).indices
    return token[by_token], slot[by_token], target[by_token], place[by_token]

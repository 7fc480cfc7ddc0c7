"""Paths between nodes: the best instances of a metapath by edge scores, and random ones."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.core.key import Key
from graphrec_pt.core.memo import Memo
from graphrec_pt.kernels.adjacency import sorted_targets, target_order
from graphrec_pt.kernels.csr import (
    SegmentedCSR,
    check_edges,
    check_exclude,
    check_nodes,
    check_positive,
    check_slot,
)
from graphrec_pt.kernels.dispatch import body
from graphrec_pt.kernels.philox import check_items, key_words
from graphrec_pt.kernels.sparse import owners, sddmm
from graphrec_pt.kernels.torch.segments import ranges


class Question(NamedTuple):
    """Checked pairs and one metapath, as every body takes them.

    Args:
        source: int64 ``[B]``.
        target: int64 ``[B]``.
        exclude: int64 ``[B]`` edge ids, −1 for none.
        slots: The slot of each hop.
        back: The slot from the target to the nodes before it; −1 for two hops.
        top: Instances per pair.
        cap: Neighbours that a node is expanded to.
        score: float32 ``[E]``.
        best: int64 ``[E]``, edges of each segment best first.
        targets: ``[E]``, targets of each segment ascending.
        order: int64 ``[E]``, the edge at each place of `targets`.
        edge: ``[E]`` edge ids; empty when the graph has none.
    """

    source: Tensor
    target: Tensor
    exclude: Tensor
    slots: tuple[int, ...]
    back: int
    top: int
    cap: int
    score: Tensor
    best: Tensor
    targets: Tensor
    order: Tensor
    edge: Tensor


class Instances(NamedTuple):
    """Path instances of each pair, best first; −1 (score −∞) where there are fewer than `top`.

    Args:
        nodes: int64 ``[B, top, L+1]``.
        position: int64 ``[B, top, L]``, indices into `csr.indices`.
        score: float32 ``[B, top]``.
    """

    nodes: Tensor
    position: Tensor
    score: Tensor


def paths(
    csr: SegmentedCSR,
    source: Tensor,
    target: Tensor,
    slots: Sequence[int],
    top: int,
    *,
    score: Tensor,
    back: int | None = None,
    cap: int = 10,
    exclude: Tensor | None = None,
) -> Instances:
    """Return the best instances of one metapath from each source to its target.

    The selection of MCRec (Hu et al., KDD 2018), which CHEST builds on: an instance's score is the
    mean score of its edges; every node is expanded to its `cap` best neighbours, from the source
    over all but the last two hops (the last but one of two hops) and from the target over the
    last, and both sides are joined where an edge exists. Instances are simple: no node twice,
    neither end in between. So the edge between source and target is never on one. Of parallel
    edges the best (then the first) counts.

    Args:
        csr: The graph.
        source: int64 ``[B]``, global ids of one node type.
        target: int64 ``[B]``, global ids of one node type.
        slots: The metapath as the relation slot of each hop, two to four.
        top: How many instances to return.
        score: float32 ``[E]`` of :func:`graphrec_pt.kernels.paths.edge_score`.
        back: The slot from the target to the nodes before it, i.e. the inverse of the last hop;
            needed for three and four hops.
        cap: How many neighbours each node is expanded to.
        exclude: int64 ``[B]``, the edge id that no instance of a pair may use, −1 for none.

    Returns:
        :class:`Instances`, by falling score, then by nodes.

    Raises:
        GraphRecError: For ids outside the graph, a metapath that does not type-check, and top or
            cap below 1.
    """
    check_positive("paths", "top", top)
    check_positive("paths", "cap", cap)
    check_nodes("paths", csr, source, "source")
    check_nodes("paths", csr, target, "target", length=len(source))
    if not 2 <= len(slots) <= 4:
        raise GraphRecError("paths", "a metapath of 2 to 4 hops", f"{len(slots)} hops")
    if len(slots) > 2 and back is None:
        raise GraphRecError("paths", "back, the inverse slot of the last hop", "none")
    if len(source):
        _check_types(csr, source, target, slots, back if len(slots) > 2 else None)
    question = Question(
        source=source.long().contiguous(),
        target=target.long().contiguous(),
        exclude=check_exclude("paths", csr, exclude, len(source)),
        slots=tuple(slots),
        back=-1 if back is None else back,
        top=top,
        cap=cap,
        score=score.contiguous(),
        best=best_first(csr, score),
        targets=sorted_targets(csr),
        order=target_order(csr),
        edge=csr.indices[:0] if csr.edge is None else csr.edge,
    )
    nodes, position, scores = body("paths", csr.indices)(csr, question)
    return Instances(nodes, position, scores)


def _check_types(
    csr: SegmentedCSR, source: Tensor, target: Tensor, slots: Sequence[int], back: int | None
) -> None:
    """Check the types along the metapath, as far as the graph has edges that show them."""
    kind: int | None = _one_type(csr, source, "sources")
    last = _one_type(csr, target, "targets")
    kinds = [kind]
    for hop, slot in enumerate(slots):
        kind = _next_type(csr, kind, slot, f"at hop {hop + 1}")
        kinds.append(kind)
    if kind is not None and kind != last:
        raise GraphRecError(
            "paths", f"targets of type {kind}, where the metapath ends", f"type {last}"
        )
    if back is not None:
        before = _next_type(csr, last, back, "back")
        if None not in (before, kinds[-2]) and before != kinds[-2]:
            expected = f"a slot back to type {kinds[-2]}"
            raise GraphRecError("paths", expected, f"slot {back}, which leads to type {before}")


def _one_type(csr: SegmentedCSR, nodes: Tensor, name: str) -> int:
    low, high = (int(kind) for kind in torch.aminmax(csr.node_type(nodes)))
    if low != high:
        raise GraphRecError("paths", f"{name} of one node type", f"types {low} and {high}")
    return low


def _next_type(csr: SegmentedCSR, kind: int | None, slot: int, where: str) -> int | None:
    """Return the type that a slot leads to; None when the graph has no such edge."""
    if kind is None:
        return None
    count = int(csr.slots[kind])
    if not 0 <= slot < count:
        raise GraphRecError("paths", f"a slot in [0, {count}) of node type {kind} {where}", slot)
    first = int(csr.base[kind]) + slot
    starts = csr.segment[first : int(csr.base[kind + 1]) : count]
    ends = csr.segment[first + 1 : int(csr.base[kind + 1]) + 1 : count]
    filled = (ends > starts).nonzero()
    if not len(filled):
        return None
    return int(csr.node_type(csr.indices[starts[filled[0]]].long()))


# Draws of a root: blocks ``path << 12 | try << 1`` and the next; one word per hop.
PATH_SHIFT, TRY_SHIFT = 12, 1
MOST_TRIES, MOST_PATHS = 1 << (PATH_SHIFT - TRY_SHIFT), 1 << (32 - PATH_SHIFT)


class Constrained(NamedTuple):
    """Checked constrained paths, as every body takes them.

    Args:
        words: Two seed words, stream and epoch.
        roots: int64 ``[B]``.
        start: int64 ``[B]``, where the own edges of each root start.
        end: int64 ``[B]``, where they end.
        exclude: int64 ``[B]`` edge ids, −1 for none.
        barred: int64 ``[B]``, the target of the excluded own edge, −1 for none.
        through: bool ``[S]``, node types allowed between the first and the last item.
        many: Paths per root.
        hops: L.
        tries: Walks drawn per path before it is dropped.
        targets: ``[E]``, targets of each segment ascending.
        edge: ``[E]`` edge ids; empty when nothing is excluded.
    """

    words: tuple[int, int, int, int]
    roots: Tensor
    start: Tensor
    end: Tensor
    exclude: Tensor
    barred: Tensor
    through: Tensor
    many: int
    hops: int
    tries: int
    targets: Tensor
    edge: Tensor


def constrained_paths(
    csr: SegmentedCSR,
    roots: Tensor,
    slot: int,
    count: int,
    key: Key,
    *,
    hops: int = 3,
    through: Sequence[int] | None = None,
    exclude: Tensor | None = None,
    tries: int = 1024,
) -> tuple[Tensor, Tensor]:
    """Sample paths root → own item → … → own item, for path language models.

    The paths that PEARLM (Balloccu et al., 2023) and KGGLM (RecSys 2024) learn from, drawn from
    the given edges alone. Their distribution is that of a walk whose first hop is a uniform edge of
    `slot` and whose later hops are uniform edges of any relation, *conditioned* on visiting no node
    twice, passing through the allowed types and ending in a node that the root has an edge to under
    `slot`. Rejection sampling makes it exact; a path is dropped after `tries` rejected walks. Path
    *p* of a root depends on the graph, the key, the root and *p* alone.

    Args:
        csr: The graph, training edges only.
        roots: int64 ``[B]``, global ids, usually users.
        slot: The relation of the roots to their items.
        count: Paths per root, at most 2**20.
        key: Names the draws.
        hops: L, two to eight.
        through: Node types allowed between the first and the last item, all when None; entities
            alone keep other users out.
        exclude: int64 ``[B]``, the edge id that no path of a root may use, −1 for none.
        tries: Walks drawn per path before it is dropped, at most 2048.

    Returns:
        Nodes int64 ``[B, count, L+1]`` and positions int64 ``[B, count, L]`` (indices into
        `csr.indices`); a row of −1 for a dropped path.

    Raises:
        GraphRecError: When an argument is out of its range.
    """
    check_positive("constrained_paths", "count", count)
    check_items("constrained_paths", csr.num_nodes)
    check_nodes("constrained_paths", csr, roots, "root")
    check_edges("constrained_paths", csr)
    check_slot("constrained_paths", csr, roots, slot)
    _check_ranges(csr, count, hops, tries, through)
    excluded = check_exclude("constrained_paths", csr, exclude, len(roots))
    allowed = torch.ones_like(csr.slots, dtype=torch.bool)
    if through is not None:
        allowed = torch.zeros_like(allowed)
        allowed[list(through)] = True
    segment = csr.first_segment(roots) + slot
    start, end = csr.segment[segment], csr.segment[segment + 1]
    barred = torch.full_like(start, -1)
    edge = csr.indices[:0]
    if exclude is not None and csr.edge is not None:
        edge = csr.edge.contiguous()
        barred = _barred(csr.indices, edge, start, end, excluded)
    question = Constrained(
        words=key_words(key),
        roots=roots.long().contiguous(),
        start=start,
        end=end,
        exclude=excluded,
        barred=barred,
        through=allowed,
        many=count,
        hops=hops,
        tries=tries,
        targets=sorted_targets(csr).contiguous(),
        edge=edge,
    )
    nodes, position = body("paths.constrained_paths", csr.indices)(csr, question)
    return nodes, position


def _check_ranges(
    csr: SegmentedCSR, count: int, hops: int, tries: int, through: Sequence[int] | None
) -> None:
    for name, value, low, high in (
        ("hops", hops, 2, 8),
        ("count", count, 1, MOST_PATHS),
        ("tries", tries, 1, MOST_TRIES),
    ):
        if not low <= value <= high:
            raise GraphRecError("constrained_paths", f"{low} <= {name} <= {high}", value)
    types = len(csr.slots)
    for kind in through or ():
        if not 0 <= kind < types:
            raise GraphRecError("constrained_paths", f"through types in [0, {types})", kind)


def _barred(indices: Tensor, edge: Tensor, start: Tensor, end: Tensor, exclude: Tensor) -> Tensor:
    """Return the target of each root's excluded edge among its own edges: −1 where it has none."""
    place, owner = ranges(start, end - start)
    hit = edge[place] == exclude[owner]
    barred = torch.full_like(start, -1)
    barred[owner[hit]] = indices[place[hit]].long()
    return barred


_orders: Memo[Tensor] = Memo()  # of the scores


def edge_score(csr: SegmentedCSR, vectors: Tensor | None = None) -> Tensor:
    """Return one score per edge: cosine of its ends, or ``1 / √(degree(u) · degree(v))``.

    Args:
        csr: The graph.
        vectors: float32 ``[N, D]``, one vector per node; None scores by degree over all
            relations.

    Returns:
        float32 ``[E]``.

    Raises:
        GraphRecError: When the number of vectors differs from the number of nodes.
    """
    nodes = torch.arange(csr.num_nodes, device=csr.indices.device)
    start, end = csr.bounds(nodes)
    if vectors is None:
        scale = (end - start).clamp(min=1).float().rsqrt()
        return scale[owners(torch.cat([start, end[-1:]]), csr.num_edges)] * scale[csr.indices]
    if vectors.ndim != 2 or len(vectors) != csr.num_nodes:
        raise GraphRecError("edge_score", f"vectors [{csr.num_nodes}, D]", list(vectors.shape))
    unit = torch.nn.functional.normalize(vectors.detach().float(), dim=1)
    return sddmm(torch.cat([start, end[-1:]]), csr.indices, unit, unit)


def best_first(csr: SegmentedCSR, score: Tensor) -> Tensor:
    """Return the edges of every segment by falling score, then target, then position.

    Args:
        csr: The graph.
        score: float32 ``[E]``; the order is kept while it lives.

    Returns:
        int64 ``[E]``, positions.

    Raises:
        GraphRecError: When the number of scores differs from the number of edges, or one is not
            finite.
    """
    if score.dtype != torch.float32 or score.shape != csr.indices.shape:
        got = f"{score.dtype} {list(score.shape)}"
        raise GraphRecError("best_first", f"score float32 [{csr.num_edges}]", got)

    def made() -> Tensor:
        if not bool(torch.isfinite(score).all()):
            raise GraphRecError("best_first", "finite scores", "inf or NaN")
        order = torch.sort(csr.indices, stable=True).indices
        order = order[torch.sort(score[order], stable=True, descending=True).indices]
        segment = owners(csr.segment, csr.num_edges)
        return order[torch.sort(segment[order], stable=True).indices]

    return _orders(score, None, made, given=(csr.segment,))

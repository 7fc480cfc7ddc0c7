"""Random walks over a segmented CSR: uniform, metapath, weighted, node2vec, restarting, timed."""

from typing import NamedTuple, TypedDict, Unpack

import numpy as np
import torch
from torch import Tensor

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.core.key import Key
from graphrec_pt.kernels.adjacency import cumulative_weight, sorted_targets
from graphrec_pt.kernels.csr import NO_TIME, PARALLEL, SegmentedCSR, check_nodes, check_positive
from graphrec_pt.kernels.dispatch import body
from graphrec_pt.kernels.philox import check_degrees, check_items, key_words

# Draws of a root: block ``repeat << 20 | hop << 5 | try``; a plain walk needs one word per hop and
# packs four hops into block ``repeat << 20 | hop >> 2``.
REPEAT_BITS, HOP_BITS, TRY_BITS = 12, 15, 5
REPEAT_SHIFT = HOP_BITS + TRY_BITS
LAST_BLOCK = (1 << TRY_BITS) - 1
"""The block inside a hop that the exact scan draws from, after every try was rejected."""


class WalkPlan(NamedTuple):
    """A checked walk, as every body takes it.

    Args:
        words: Two seed words, stream and epoch.
        roots: int64 ``[B]``.
        repeats: Walks per root.
        length: L.
        slots: int64 ``[L]``; −1 follows any relation.
        restart: A hop jumps to the root when its word 0 is below this (at most 2**32).
        bias: A candidate that is the previous node, a neighbour of it, or neither is accepted
            when word 1 is below the first, second or third number; None takes every candidate.
        timed: Whether times may not fall along a walk.
        after: int64 ``[B]``, the earliest time of each root's first hop.
        exclude: int64 ``[B]`` edge ids never taken, or None.
        cumulative: float64 ``[E]`` running weights of each node, or None for uniform choice.
        targets: ``[E]``, `indices` sorted inside each segment; None without `bias`.
        relations: int64 ``[S, most slots]``, the relation of each slot of a node type, or None.
    """

    words: tuple[int, int, int, int]
    roots: Tensor
    repeats: int
    length: int
    slots: Tensor
    restart: int
    bias: tuple[int, int, int] | None
    timed: bool
    after: Tensor
    exclude: Tensor | None
    cumulative: Tensor | None
    targets: Tensor | None
    relations: Tensor | None = None

    @property
    def plain(self) -> bool:
        """Whether each hop is one uniform choice."""
        chosen = self.bias is None and self.exclude is None and self.cumulative is None
        return chosen and not self.timed and not self.restart

    @property
    def tries(self) -> int:
        """Candidates drawn before the exact distribution is worked out."""
        if self.bias is not None:
            return LAST_BLOCK
        return 1 if self.exclude is None else 4


def walk(
    csr: SegmentedCSR,
    roots: Tensor,
    length: int,
    key: Key,
    *,
    repeats: int = 1,
    slots: Tensor | None = None,
    weighted: bool = False,
    restart: float = 0.0,
    p: float = 1.0,
    q: float = 1.0,
    timed: bool = False,
    after: Tensor | None = None,
    exclude: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Walk `length` hops from every root, `repeats` times.

    A hop from *u* takes edge *e* with probability ∝ ``weight(e) · α(e)`` among the edges that
    `slots`, `timed` and `exclude` allow. α is node2vec's second-order bias (Grover and Leskovec,
    KDD 2016): 1/p back to the previous node, 1 to a node that the previous one has an edge to (in
    any relation), 1/q elsewhere; the first hop has none. The walk of (root, repeat) depends on the
    graph, the key and the options; the other roots, their order and the body do not matter. A
    longer walk begins with the shorter one.

    Args:
        csr: The graph.
        roots: int64 ``[B]`` global ids.
        length: L, hops of each walk.
        key: Names the draws.
        repeats: Walks per root.
        slots: int64 ``[L]``, the relation slot of each hop (a metapath), −1 for any relation;
            None for any relation throughout. A node without that slot is a dead end.
        weighted: Choose in proportion to `csr.weight`; edges of weight 0 are never taken.
        restart: Probability that a hop stands at the root again instead of taking an edge: there
            `position` is −1 though `nodes` is not. Hop *t* + 1 goes on with ``slots[t + 1]``.
        p: node2vec's return parameter.
        q: node2vec's in-out parameter.
        timed: Take no edge that is older than the one before; an edge without time is older than
            everything. A restart begins anew.
        after: int64 ``[B]``, with `timed`: no root's first edge is older than this.
        exclude: int64 ``[B]``, the edge id that walks of each root never take, −1 for none.

    Returns:
        int64 nodes ``[B · repeats, L + 1]``, −1 past a dead end, and int64 position
        ``[B · repeats, L]``, the index into `csr.indices` of each edge taken, else −1. Row
        ``b · repeats + r`` is walk *r* of root *b*.

    Raises:
        GraphRecError: When an argument is out of its range, or the graph lacks times, weights or
            edge ids that an option needs.

    Example:
        >>> users = graph.node_ids("user", ["ann", "bob"])
        >>> nodes, position = walk(graph.csr, users, 3, Key(0), repeats=2)
        >>> nodes.shape, position.shape
        (torch.Size([4, 4]), torch.Size([4, 3]))
    """
    plan = _planned(
        csr,
        roots,
        length,
        key,
        repeats=repeats,
        slots=slots,
        weighted=weighted,
        restart=restart,
        p=p,
        q=q,
        timed=timed,
        after=after,
        exclude=exclude,
    )
    nodes, position, _ = body("walk", csr.indices)(csr, plan)
    return nodes, position


class WalkOptions(TypedDict, total=False):
    """The options of :func:`walk`."""

    repeats: int
    slots: Tensor | None
    weighted: bool
    restart: float
    p: float
    q: float
    timed: bool
    after: Tensor | None
    exclude: Tensor | None


def walk_along(
    csr: SegmentedCSR,
    roots: Tensor,
    length: int,
    key: Key,
    relations: Tensor,
    **options: Unpack[WalkOptions],
) -> tuple[Tensor, Tensor, Tensor]:
    """Walk as :func:`walk` does, and return the relation of every hop as well.

    A body knows the segment of an edge when it takes it; to find it afterwards costs several
    times the walk.

    Args:
        csr: The graph.
        roots: int64 ``[B]`` global ids.
        length: L, hops of each walk.
        key: Names the draws.
        relations: int64 ``[S, most slots]``, the number of the relation of each slot of a type.
        **options: Those of :func:`walk`.

    Returns:
        Nodes, positions, and int64 relations ``[B · repeats, L]``, −1 where no edge was taken.

    Raises:
        GraphRecError: As :func:`walk`, and for a table that does not fit the graph.
    """
    widest = int(csr.slots.max()) if len(csr.slots) else 0
    fits = relations.ndim == 2 and len(relations) == len(csr.slots)
    if not fits or relations.dtype != torch.int64 or relations.shape[1] < widest:
        got = f"{relations.dtype} {list(relations.shape)}"
        raise GraphRecError("walk_along", f"relations int64 [{len(csr.slots)}, {widest}]", got)
    plan = _planned(csr, roots, length, key, **options)
    plan = plan._replace(relations=relations.to(csr.indices.device).contiguous())
    nodes, position, relation = body("walk", csr.indices)(csr, plan)
    return nodes, position, relation


def _planned(
    csr: SegmentedCSR,
    roots: Tensor,
    length: int,
    key: Key,
    *,
    repeats: int = 1,
    slots: Tensor | None = None,
    weighted: bool = False,
    restart: float = 0.0,
    p: float = 1.0,
    q: float = 1.0,
    timed: bool = False,
    after: Tensor | None = None,
    exclude: Tensor | None = None,
) -> WalkPlan:
    """Return the checked walk; arguments as in :func:`walk`."""
    _check(csr, roots, length, repeats, slots, restart, p, q)
    _check_edges(csr, roots, timed, after, exclude)
    device = csr.indices.device
    biased = p != 1.0 or q != 1.0
    return WalkPlan(
        words=key_words(key),
        roots=roots.to(device, torch.int64).contiguous(),
        repeats=repeats,
        length=length,
        slots=torch.full((length,), -1, device=device) if slots is None else slots.contiguous(),
        restart=int(restart * 2**32),
        bias=_thresholds(p, q) if biased else None,
        timed=timed,
        after=_no_time(roots, device) if after is None else after,
        exclude=exclude,
        cumulative=cumulative_weight(csr, "walk") if weighted else None,
        targets=sorted_targets(csr) if biased else None,
    )


def _no_time(roots: Tensor, device: torch.device) -> Tensor:
    """Return NO_TIME for each root; on the CPU by one thread, see :func:`check_nodes`."""
    if device.type == "cpu" and len(roots) >= PARALLEL:
        return torch.from_numpy(np.full(len(roots), NO_TIME))
    return torch.full(roots.shape, NO_TIME, device=device)


def _thresholds(p: float, q: float) -> tuple[int, int, int]:
    """Return how many of 2**32 words accept a return, a near and a far candidate."""
    largest = max(1 / p, 1.0, 1 / q)
    back, near, far = (int(alpha / largest * 2**32) for alpha in (1 / p, 1.0, 1 / q))
    return back, near, far


def _check(
    csr: SegmentedCSR,
    roots: Tensor,
    length: int,
    repeats: int,
    slots: Tensor | None,
    restart: float,
    p: float,
    q: float,
) -> None:
    check_items("walk", csr.num_nodes)
    check_degrees("walk", csr)
    check_nodes("walk", csr, roots, "roots")
    check_positive("walk", "length", length)
    check_positive("walk", "repeats", repeats)
    if length > 1 << HOP_BITS:
        raise GraphRecError("walk", f"length <= {1 << HOP_BITS}", length)
    if repeats > 1 << REPEAT_BITS:
        raise GraphRecError(
            "walk", f"repeats <= {1 << REPEAT_BITS}", repeats, "another epoch of the key"
        )
    if slots is not None:
        most = int(csr.slots.max()) if len(csr.slots) else 0
        if slots.dtype != torch.int64 or slots.shape != (length,):
            got = f"{slots.dtype} {list(slots.shape)}"
            raise GraphRecError("walk", f"slots as int64 [{length}], one per hop", got)
        if bool(((slots < -1) | (slots >= most)).any()):
            raise GraphRecError("walk", f"slots in [-1, {most})", slots.tolist())
    if not 0 <= restart <= 1:
        raise GraphRecError("walk", "restart in [0, 1]", restart)
    if not (0 < p < float("inf") and 0 < q < float("inf")):
        raise GraphRecError("walk", "p > 0 and q > 0, finite", f"p={p}, q={q}")


def _check_edges(
    csr: SegmentedCSR, roots: Tensor, timed: bool, after: Tensor | None, exclude: Tensor | None
) -> None:
    if timed and csr.time is None:
        raise GraphRecError("walk", "a graph with times for timed=True", "none")
    if after is not None and not timed:
        raise GraphRecError("walk", "timed=True beside after", "timed=False")
    if exclude is not None and csr.edge is None:
        raise GraphRecError("walk", "a graph with edge ids for exclude", "none")
    for name, column in (("after", after), ("exclude", exclude)):
        if column is not None and (column.dtype != torch.int64 or column.shape != roots.shape):
            got = f"{column.dtype} {list(column.shape)}"
            raise GraphRecError("walk", f"{name} as int64 [{len(roots)}]", got)

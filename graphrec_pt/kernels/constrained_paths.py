"""Random user→item paths that start and end in the user's own items."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.core.key import Key
from graphrec_pt.kernels.checks import check_exclude, check_nodes, check_positive, check_slot
from graphrec_pt.kernels.csr import SegmentedCSR
from graphrec_pt.kernels.dispatch import body
from graphrec_pt.kernels.philox import check_items, key_words
from graphrec_pt.kernels.sorted_targets import sorted_targets
from graphrec_pt.kernels.torch.segments import ranges

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
        tries: Walks refused before a path is given up.
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
    the given edges alone. The law: a walk whose first hop is a uniform edge of `slot` and whose
    later hops are uniform edges of any relation, *conditioned* on visiting no node twice, passing
    through the allowed types and ending in a node that the root has an edge to under `slot`. It is
    drawn by refusing walks, so it is exact; a path for which `tries` walks were refused is given
    up. Path *p* of a root depends on the graph, the key, the root and *p* alone.

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
        tries: Walks per path, at most 2048.

    Returns:
        Nodes int64 ``[B, count, L+1]`` and positions int64 ``[B, count, L]`` (indices into
        `csr.indices`); a row of −1 for a path that was given up.

    Raises:
        GraphRecError: When an argument is out of its range.
    """
    check_positive("constrained_paths", "count", count)
    check_items("constrained_paths", csr.num_nodes)
    check_nodes("constrained_paths", csr, roots, "root")
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
    nodes, position = body("constrained_paths", csr.indices)(csr, question)
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

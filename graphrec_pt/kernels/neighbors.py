"""Neighbour sampling: up to a fan-out of edges of each node, pooled or relation by relation."""

from typing import NamedTuple

import torch
from torch import Tensor

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.core.key import Key
from graphrec_pt.kernels.adjacency import cumulative_weight
from graphrec_pt.kernels.csr import SegmentedCSR, check_nodes
from graphrec_pt.kernels.dispatch import body
from graphrec_pt.kernels.philox import check_degrees, check_items, key_words

SPARE = 2
"""Draws beyond the fan-out: an excluded id occurs at most twice (an edge and its inverse)."""


class FanOutPlan(NamedTuple):
    """A checked fan-out, as every body takes it.

    A *cell* is one (node, slot) whose edges are sampled together: ``C = B · K`` of them, K = 1
    when all relations are pooled. Draw *j* of a cell is word ``j % 4`` of block ``j // 4`` counted
    from the cell's first block; a weighted choice takes two words.

    Args:
        words: Two seed words, stream and epoch.
        nodes: int64 ``[B]``.
        slots: int64 ``[K]``; a single −1 pools all relations.
        fanout: Edges per cell; −1 for all.
        replace: Whether an edge may be taken again.
        item: int64 ``[B]``, the key item of each node's draws.
        block: int64 ``[B]``, the first block of each node.
        before: int64 ``[B]`` or None.
        exclude: int64 ``[B]`` or None.
        cumulative: float64 ``[E]`` running weights of each node, or None for uniform choice.
    """

    words: tuple[int, int, int, int]
    nodes: Tensor
    slots: Tensor
    fanout: int
    replace: bool
    item: Tensor
    block: Tensor
    before: Tensor | None
    exclude: Tensor | None
    cumulative: Tensor | None

    @property
    def blocks(self) -> int:
        """Philox blocks of one cell."""
        return blocks_per_cell(self.fanout, self.cumulative is not None)


def blocks_per_cell(fanout: int, weighted: bool) -> int:
    """Return how many blocks of four words the draws of a cell need."""
    return -(-max(fanout + SPARE, 0) * (2 if weighted else 1) // 4)


def neighbors(
    csr: SegmentedCSR,
    nodes: Tensor,
    fanout: int,
    key: Key,
    *,
    slots: Tensor | None = None,
    replace: bool = False,
    weighted: bool = False,
    before: Tensor | None = None,
    exclude: Tensor | None = None,
    item: Tensor | None = None,
    turn: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Sample up to `fanout` edges of every node (GraphSAGE, Hamilton et al., NeurIPS 2017).

    Without replacement every set of eligible edges is equally likely; weighted, edges are taken
    one after another in proportion to the remaining weights. The edges of a node are a function of
    the graph, the key, its `item` and `turn` and the options; the other nodes, their order and the
    body do not matter.

    Args:
        csr: The graph.
        nodes: int64 ``[B]`` global ids, repeats allowed.
        fanout: Edges per node, or per node and slot when `slots` is given; −1 for all.
        key: Names the draws.
        slots: int64 ``[K]`` slot indices sampled one by one (relation-aware); a slot that a node
            does not have gives nothing. None pools all relations.
        replace: Draw `fanout` edges with replacement.
        weighted: Choose in proportion to `csr.weight`; edges of weight 0 (or of a weight that
            vanishes in float64 beside the node's total) are never taken.
        before: int64 ``[B]``: only edges of an earlier time, or without a time.
        exclude: int64 ``[B]``, the edge id never taken for each node, −1 for none; an id may
            occur at most twice among a node's edges.
        item: int64 ``[B]`` below 2**32, the key item of each node's draws; the node by default.
            Give the root here, with `turn`, when nodes of several roots are sampled hop by hop.
        turn: int64 ``[B]``, number of the occurrence of an item; 0 by default.

    Returns:
        int64 position ``[M]`` into `csr.indices` and int64 ptr ``[B + 1]``: node *b* got
        ``position[ptr[b] : ptr[b + 1]]``, by slot in the order given, ascending inside a slot (with
        `replace` in the order drawn).

    Raises:
        GraphRecError: When an argument is out of its range, or the graph lacks times, weights or
            edge ids that an option needs.
    """
    _check(csr, nodes, fanout, slots, replace)
    _check_columns(csr, nodes, before, exclude, item, turn)
    device = csr.indices.device
    nodes = nodes.to(device, torch.int64).contiguous()
    columns = torch.full((1,), -1, device=device) if slots is None else slots.contiguous()
    stride = blocks_per_cell(fanout, weighted) * len(columns)
    if turn is not None and len(turn) and int(turn.max()) * max(stride, 1) >= 1 << 32:
        raise GraphRecError(
            "neighbors", f"turn below 2**32 / {stride} blocks of draws", int(turn.max())
        )
    plan = FanOutPlan(
        words=key_words(key),
        nodes=nodes,
        slots=columns,
        fanout=fanout,
        replace=replace,
        item=nodes if item is None else item.contiguous(),
        block=torch.zeros_like(nodes) if turn is None else turn * stride,
        before=None if before is None else before.contiguous(),
        exclude=None if exclude is None else exclude.contiguous(),
        cumulative=cumulative_weight(csr, "neighbors") if weighted else None,
    )
    position, count = body("neighbors", csr.indices)(csr, plan)
    count = count.reshape(len(nodes), len(columns)).sum(1)  # [B]
    return position, torch.cat([count.new_zeros(1), count.cumsum(0)])


def _check(
    csr: SegmentedCSR, nodes: Tensor, fanout: int, slots: Tensor | None, replace: bool
) -> None:
    check_items("neighbors", csr.num_nodes)
    check_degrees("neighbors", csr)
    check_nodes("neighbors", csr, nodes, "nodes")
    if fanout == 0 or fanout < -1:
        raise GraphRecError("neighbors", "fanout >= 1, or -1 for all", fanout)
    if replace and fanout < 0:
        raise GraphRecError("neighbors", "fanout >= 1 with replace=True", fanout)
    if slots is not None:
        most = int(csr.slots.max()) if len(csr.slots) else 0
        if slots.dtype != torch.int64 or slots.ndim != 1 or not len(slots):
            got = f"{slots.dtype} {list(slots.shape)}"
            raise GraphRecError("neighbors", "slots as int64 [K]", got)
        if bool(((slots < 0) | (slots >= most)).any()):
            raise GraphRecError("neighbors", f"slots in [0, {most})", slots.tolist())


def _check_columns(csr: SegmentedCSR, nodes: Tensor, *columns: Tensor | None) -> None:
    names = ("before", "exclude", "item", "turn")
    for name, column in zip(names, columns, strict=True):
        if column is None:
            continue
        if column.dtype != torch.int64 or column.shape != nodes.shape:
            got = f"{column.dtype} {list(column.shape)}"
            raise GraphRecError("neighbors", f"{name} as int64 [{len(nodes)}]", got)
        if name in ("item", "turn") and len(column) and int(column.min()) < 0:
            raise GraphRecError("neighbors", f"{name} >= 0", int(column.min()))
        if name == "item" and len(column):
            check_items("neighbors item", int(column.max()))
    before, exclude = columns[:2]
    if before is not None and csr.time is None:
        raise GraphRecError("neighbors", "a graph with times for before", "none")
    if exclude is not None and csr.edge is None:
        raise GraphRecError("neighbors", "a graph with edge ids for exclude", "none")

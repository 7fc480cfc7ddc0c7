"""One hop of neighbour sampling for forests of mixed node types."""

from collections.abc import Sequence
from typing import Annotated

import torch
from pydantic import AfterValidator, Field
from torch import Tensor

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.core.key import Key
from graphrec_pt.graph.graph import Graph
from graphrec_pt.kernels.neighbors import neighbors
from graphrec_pt.sampling.forest import Forest


def _hops(fanout: tuple[int, ...]) -> tuple[int, ...]:
    if not fanout:
        raise GraphRecError("fanout", "a number for each hop", "none")
    return fanout


Fanout = Annotated[tuple[Annotated[int, Field(ge=1)], ...], AfterValidator(_hops)]
"""Edges per node for each hop, at least 1 of them and at least one hop."""


def fan_out(
    graph: Graph,
    forest: Forest,
    fanout: int,
    key: Key,
    *,
    relations: Sequence[str] | None = None,
    replace: bool = False,
    weighted: bool = False,
    bound: Tensor | None = None,
    exclude: Tensor | None = None,
) -> Forest:
    """Return the forest with one more hop below the tokens of its last hop.

    A token's draws are named by its root and its rank in its sequence, so that neither other
    sequences nor the grouping by type matter.

    Args:
        graph: The graph.
        forest: Trees that all have the same hops so far.
        fanout: Edges per token, or per token and relation when `relations` is given; −1 for all.
        key: Names the draws.
        relations: Relations to follow, each where it can leave; None pools all of them.
        replace: Whether an edge may be taken again.
        weighted: Choose in proportion to edge weights.
        bound: int64 ``[B]``, only edges older than this for each sequence, or None.
        exclude: int64 ``[B]`` edge ids or None.
    """
    last = int(forest.hop.max()) if len(forest.hop) else 0
    front = (forest.hop == last).nonzero().squeeze(1)  # [n]
    rank = forest.rank()[front]
    parents, positions = [front[:0]], [front[:0]]
    for tokens, slots in _by_type(graph, forest.node[front], relations):
        token = front[tokens]
        row = forest.row[token]
        position, ptr = neighbors(
            graph.csr,
            forest.node[token],
            fanout,
            key,
            slots=slots,
            replace=replace,
            weighted=weighted,
            before=None if bound is None else bound[row],
            exclude=None if exclude is None else exclude[row],
            item=forest.origin[token],
            turn=rank[tokens],
        )
        parents.append(token.repeat_interleave(ptr.diff()))
        positions.append(position)
    parent, position = torch.cat(parents), torch.cat(positions)
    order = torch.argsort(parent, stable=True)
    return forest.grow(graph, parent[order], position[order])


def _by_type(
    graph: Graph, nodes: Tensor, relations: Sequence[str] | None
) -> list[tuple[Tensor, Tensor | None]]:
    """Return (rows of `nodes`, slots to follow) for each group sampled together."""
    if relations is None:
        return [(torch.arange(len(nodes), device=nodes.device), None)]
    schema, kind = graph.schema, graph.csr.node_type(nodes)
    groups: list[tuple[Tensor, Tensor | None]] = []
    for index, name in enumerate(schema.node_names):
        slots = [schema.slot(r) for r in relations if schema.relation(r).source == name]
        rows = (kind == index).nonzero().squeeze(1)
        if slots and len(rows):
            groups.append((rows, torch.tensor(slots, device=nodes.device)))
    return groups

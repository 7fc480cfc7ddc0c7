"""Selection of the nodes and links around a node that fit in a picture."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.graph.graph import Graph


class Link(NamedTuple):
    """An edge to show, in the direction of its relation."""

    source: int
    target: int
    relation: str


@dataclass(frozen=True)
class Neighborhood:
    """Nodes around a root, nearest first, and the links between them."""

    root: int
    nodes: tuple[int, ...]
    links: tuple[Link, ...]


def neighborhood(
    graph: Graph, root: int, hops: int = 2, *, per_relation: int = 6, limit: int = 40
) -> Neighborhood:
    """Choose nodes and links around a node; the same graph gives the same choice.

    The order prefers neighbours with more links from the previous hop, then the latest (where the
    root's edges carry times), then those with fewer edges, which are more specific than hubs. On
    the first hop the relations take turns, on later hops the node types, with two thirds of the
    places.

    Args:
        graph: The graph.
        root: The node in the middle.
        hops: How far to look.
        per_relation: Most nodes of each relation next to the root.
        limit: Most nodes in all.

    Raises:
        GraphRecError: When there is no such node, or a number is below 1.
    """
    graph.type_of(root)
    for name, value in (("hops", hops), ("per_relation", per_relation), ("limit", limit)):
        if value < 1:
            raise GraphRecError("neighborhood", f"{name} >= 1", value)
    chosen, near = [root], graph.neighbors(root).tolist()
    frontier = _take_turns(_next_to(graph, root), per_relation, limit - 1)
    for _ in range(hops - 1):
        chosen += frontier
        beyond = _beyond(graph, frontier, {*chosen, *near})
        frontier = _take_turns(beyond, max(2 * per_relation // 3, 1), limit - len(chosen))
    chosen += frontier
    return Neighborhood(root, tuple(chosen), tuple(links_between(graph, chosen)))


def links_between(graph: Graph, nodes: Sequence[int]) -> Iterable[Link]:
    """Yield the edges among some nodes, each pair once per relation, inverses left out."""
    kept = torch.tensor(sorted(set(nodes)))
    for relation in graph.schema.relations:
        if relation.backward:
            continue
        for node in nodes:
            if node in graph.nodes(relation.source):
                targets = graph.neighbors(node, relation.name)
                for target in torch.unique(targets[torch.isin(targets, kept)]).tolist():
                    yield Link(node, target, relation.name)


def _next_to(graph: Graph, root: int) -> list[list[int]]:
    """Return the root's neighbours under each relation, the preferred first."""
    ranked = []
    for relation in graph.schema.leaving(graph.type_of(root)):
        targets = graph.neighbors(root, relation.name)
        ids, count = torch.unique(targets[targets != root], return_counts=True)
        if relation.timed:  # the latest edges of a history stand last
            latest = torch.full((graph.num_nodes(),), -1)
            latest[targets] = torch.arange(len(targets))
            keys = [-latest[ids], ids]
        else:
            keys = [-count, _degree(graph, ids), ids]
        ranked.append(_sorted(keys))
    return ranked


def _beyond(graph: Graph, frontier: Sequence[int], seen: set[int]) -> list[list[int]]:
    """Return new neighbours of the frontier by node type, the preferred first."""
    reached = [torch.unique(graph.neighbors(node)) for node in frontier]
    ids, support = torch.unique(torch.cat(reached), return_counts=True) if reached else _NONE
    fresh = ~torch.isin(ids, torch.tensor(sorted(seen)))
    ids, support = ids[fresh], support[fresh]
    kinds = graph.csr.node_type(ids)
    return [
        _sorted([-support[kinds == k], _degree(graph, ids[kinds == k]), ids[kinds == k]])
        for k in torch.unique(kinds)
    ]


_NONE = (torch.zeros(0, dtype=torch.long), torch.zeros(0, dtype=torch.long))


def _degree(graph: Graph, nodes: Tensor) -> Tensor:
    low, high = graph.csr.bounds(nodes)
    return high - low


def _sorted(keys: list[Tensor]) -> list[int]:
    """Return the last key's values in the order of all keys."""
    return [row[-1] for row in sorted(zip(*(key.tolist() for key in keys), strict=True))]


def _take_turns(ranked: list[list[int]], each: int, room: int) -> list[int]:
    chosen: dict[int, None] = {}
    for rank in range(each):
        for nodes in ranked:
            if rank < len(nodes) and len(chosen) < room:
                chosen.setdefault(nodes[rank])
    return list(chosen)

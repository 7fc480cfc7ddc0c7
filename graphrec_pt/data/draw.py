"""Pictures of small parts of a graph: a node's neighbourhood, a sampled subgraph, paths.

Nodes are labelled pills in one column per hop, coloured by type. Over each group stands the
relation that leads to it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.core.printable import printable
from graphrec_pt.data.picture import HEIGHT, PALETTE, Picture, Pill, Point, text_width
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


LONGEST = 30
"""Characters of the longest label."""
ROW, HEADER, GAP, MARGIN = 19.0, 15.0, 84.0, 14.0
"""Points from pill to pill, over a group for its relation, between columns, and around."""


@dataclass(frozen=True)
class Group:
    """Nodes of one column that one relation leads to.

    Args:
        relation: Its name; empty for the root and for nodes without a link.
        outward: Whether its edges point away from the root.
        nodes: From top to bottom.
    """

    relation: str
    outward: bool
    nodes: tuple[int, ...]


def draw_neighborhood(
    graph: Graph, node: int, hops: int = 2, *, per_relation: int = 6, limit: int = 40
) -> Picture:
    """Draw the most informative part of what surrounds a node.

    Args:
        graph: The graph.
        node: The node in the middle.
        hops: How far to look.
        per_relation: Most new nodes per hop and relation.
        limit: Most nodes in all.

    Raises:
        GraphRecError: When there is no such node.
    """
    part = neighborhood(graph, node, hops, per_relation=per_relation, limit=limit)
    return draw_subgraph(graph, part.nodes, part.links, root=node, counts=True)


def draw_subgraph(
    graph: Graph,
    nodes: Sequence[int],
    links: Sequence[tuple[int, int, str]],
    *,
    root: int | None = None,
    title: str = "",
    about: str = "",
    counts: bool = False,
) -> Picture:
    """Draw given nodes and edges, such as a sampler returns.

    Args:
        graph: The graph that holds them.
        nodes: Global ids.
        links: (source, target, relation) of every edge to draw; an edge of an inverse relation is
            drawn as the edge that it mirrors.
        root: The node to start from, the first by default.
        title: Line over the picture.
        about: The picture in words; by default it names the root.
        counts: Say how many of the root's neighbours the picture shows, where it omits some.

    Raises:
        GraphRecError: When there is nothing to draw, or an edge ends at a node that is not given.
    """
    nodes = list(dict.fromkeys(nodes))
    if not nodes:
        raise GraphRecError("draw", "at least one node", "none")
    root = nodes[0] if root is None else root
    shown = list(dict.fromkeys(_forward(graph, *link) for link in links))
    for end in (root, *(end for link in shown for end in link[:2])):
        if end not in nodes:
            raise GraphRecError("draw", "edges and root among the nodes", f"node {end}")
    columns = layers(nodes, shown, root)
    top = 36.0 if title else 16.0
    pills, right, bottom = _placed(graph, columns, top, root)
    texts = [(MARGIN, 16.0, title, "title")] if title else []
    texts += _headers(graph, columns, pills, root if counts else None)
    arcs = [pills[s].right + GAP for s, t, _ in shown if pills[s].left == pills[t].left]
    dots, x = [], MARGIN
    for kind, colour in {graph.type_of(node): pills[node].colour for node in sorted(nodes)}.items():
        dots.append((x + 4, bottom + 19, colour))
        texts.append((x + 11, bottom + 22, kind, "legend"))
        x += 25 + text_width(kind, "legend")
    ends = [x + text_width(text, kind) for x, _, text, kind in texts]
    return Picture(
        max([right, *arcs, *ends]) + MARGIN,
        bottom + 36,
        tuple(pills[node] for node in nodes),
        tuple((_curve(pills[s], pills[t]), pills[t].colour) for s, t, _ in shown),
        tuple(texts),
        tuple(dots),
        about or title or f"What surrounds {pills[root].title}",
    )


def layers(nodes: Sequence[int], links: Sequence[Link], root: int) -> list[list[Group]]:
    """Return the columns of a layered drawing (Sugiyama et al., 1981), the root's first.

    Within a column groups, and nodes within a group, are sorted by the mean place of their
    neighbours in the column before; nodes without a path to the root stand in a last column.

    Args:
        nodes: What to place; ties keep this order.
        links: Edges between them.
        root: The one in the first column.
    """
    neighbors: dict[int, list[int]] = {node: [] for node in nodes}
    for link in links:
        neighbors[link.source].append(link.target)
        neighbors[link.target].append(link.source)
    hop = _hops(neighbors, root)
    columns = [[Group("", True, (root,))]]
    for distance in range(1, max(hop.values()) + 1):
        before = [node for group in columns[-1] for node in group.nodes]
        place = {node: row for row, node in enumerate(before)}
        mean = {}
        for node in nodes:
            if hop.get(node) == distance:
                rows = [place[other] for other in neighbors[node] if other in place]
                mean[node] = sum(rows) / len(rows)
        columns.append(_grouped(mean, links, place))
    unreached = tuple(node for node in nodes if node not in hop)
    return columns + ([[Group("", True, unreached)]] if unreached else [])


def _hops(neighbors: dict[int, list[int]], root: int) -> dict[int, int]:
    hop, frontier = {root: 0}, [root]
    while frontier:
        reached = [other for node in frontier for other in neighbors[node]]
        distance = hop[frontier[0]] + 1
        frontier = [other for other in dict.fromkeys(reached) if other not in hop]
        hop |= dict.fromkeys(frontier, distance)
    return hop


def _grouped(mean: dict[int, float], links: Sequence[Link], place: dict[int, int]) -> list[Group]:
    groups: dict[tuple[str, bool], list[int]] = {}
    for node in mean:
        kind = next(
            (link.relation, link.target == node)
            for link in links
            if (link.target == node and link.source in place)
            or (link.source == node and link.target in place)
        )
        groups.setdefault(kind, []).append(node)
    made = [
        Group(relation, outward, tuple(sorted(members, key=lambda node: mean[node])))
        for (relation, outward), members in groups.items()
    ]
    return sorted(made, key=lambda g: sum(mean[node] for node in g.nodes) / len(g.nodes))


def _forward(graph: Graph, source: int, target: int, name: str) -> Link:
    relation = graph.schema.relation(name)
    if relation.backward and relation.inverse:
        return Link(target, source, relation.inverse)
    return Link(source, target, name)


def _title(graph: Graph, node: int) -> str:
    title = printable(" ".join(graph.title(node).split()))
    if title == graph.raw_id(node) and title.isdigit():
        title = f"{graph.type_of(node)} {title}"  # a number alone is not informative
    return title


def _placed(
    graph: Graph, columns: list[list[Group]], top: float, root: int
) -> tuple[dict[int, Pill], float, float]:
    """Return the pill of every node, the right end of the last column and the lower end."""
    tall = [sum(ROW * len(g.nodes) + HEADER * bool(g.relation) for g in c) for c in columns]
    pills: dict[int, Pill] = {}
    left = MARGIN
    for column, used in zip(columns, tall, strict=True):
        titles = {node: _title(graph, node) for group in column for node in group.nodes}
        labels = {node: _cut(title) for node, title in titles.items()}
        wide = HEIGHT + max(
            text_width(label, "label", bold=node == root) for node, label in labels.items()
        )
        heads = [text_width(_header(g), "header") for g in column if g.relation]
        y = top + (max(tall) - used) / 2
        for group in column:
            y += HEADER * bool(group.relation)
            for node in group.nodes:
                colour = graph.schema.node_index(graph.type_of(node)) % len(PALETTE)
                words = labels[node], titles[node]
                pills[node] = Pill(left, left + wide, y + ROW / 2, *words, colour, node == root)
                y += ROW
        left += max([wide, *heads]) + GAP
    return pills, left - GAP, top + max(tall)


def _cut(title: str) -> str:
    return title if len(title) <= LONGEST else title[: LONGEST - 1].rstrip() + "…"


def _curve(one: Pill, two: Pill) -> tuple[Point, Point, Point, Point]:
    """Return the curve between two pills, an arc on their right when they share a column."""
    if one.left > two.left:
        one, two = two, one
    if one.left == two.left:
        bulge = one.right + min(18 + 0.22 * abs(one.y - two.y), GAP * 0.8)
        return (one.right, one.y), (bulge, one.y), (bulge, two.y), (two.right, two.y)
    middle = (one.right + two.left) / 2
    return (one.right, one.y), (middle, one.y), (middle, two.y), (two.left, two.y)


def _header(group: Group) -> str:
    name = printable(group.relation)
    return f"{name} →" if group.outward else f"← {name}"


def _headers(
    graph: Graph, columns: list[list[Group]], pills: dict[int, Pill], counted: int | None
) -> list[tuple[float, float, str, str]]:
    texts = []
    for hop, column in enumerate(columns):
        for group in column:
            if not group.relation:
                continue
            text = _header(group)
            relation = graph.schema.relation(group.relation)
            leaving = group.relation if group.outward else relation.inverse
            if hop == 1 and leaving and counted is not None:
                total = len(set(graph.neighbors(counted, leaving).tolist()))
                if total > len(group.nodes):
                    text += f"  {len(group.nodes)} of {total:,}"
            first = pills[group.nodes[0]]
            texts.append((first.left + 2, first.y - ROW / 2 - 1.5, text, "header"))
    return texts

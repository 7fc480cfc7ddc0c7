"""Where nodes stand in a picture: one column per hop, grouped by relation, few crossings."""

from collections.abc import Sequence
from dataclasses import dataclass

from graphrec_pt.data.neighborhood import Link


@dataclass(frozen=True)
class Group:
    """Nodes of one column that one relation leads to.

    Args:
        relation: Its name; empty for the root and for what nothing leads to.
        outward: Whether its edges point away from the root.
        nodes: From top to bottom.
    """

    relation: str
    outward: bool
    nodes: tuple[int, ...]


def layers(nodes: Sequence[int], links: Sequence[Link], root: int) -> list[list[Group]]:
    """Return the columns of a layered drawing (Sugiyama et al., 1981), the root's first.

    Within a column groups, and nodes within a group, are sorted by the mean place of their
    neighbours in the column before; what nothing leads to stands in a last column.

    Args:
        nodes: What to place; ties keep this order.
        links: Edges between them.
        root: The one in the first column.
    """
    beside: dict[int, list[int]] = {node: [] for node in nodes}
    for link in links:
        beside[link.source].append(link.target)
        beside[link.target].append(link.source)
    hop = _hops(beside, root)
    columns = [[Group("", True, (root,))]]
    for distance in range(1, max(hop.values()) + 1):
        before = [node for group in columns[-1] for node in group.nodes]
        place = {node: row for row, node in enumerate(before)}
        mean = {}
        for node in nodes:
            if hop.get(node) == distance:
                rows = [place[other] for other in beside[node] if other in place]
                mean[node] = sum(rows) / len(rows)
        columns.append(_grouped(mean, links, place))
    lost = tuple(node for node in nodes if node not in hop)
    return columns + ([[Group("", True, lost)]] if lost else [])


def _hops(beside: dict[int, list[int]], root: int) -> dict[int, int]:
    hop, frontier = {root: 0}, [root]
    while frontier:
        reached = [other for node in frontier for other in beside[node]]
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

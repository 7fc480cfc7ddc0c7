"""Pictures of small parts of a graph: a node's neighbourhood, a sampled subgraph, paths.

Nodes are labelled pills in one column per hop, coloured by type (Okabe and Ito's palette, which
the colour-blind tell apart, olive in place of its pale yellow). Over each group stands the
relation that leads to it.
"""

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.core.scratch import finished_file
from graphrec_pt.data.layers import Group, layers
from graphrec_pt.data.marks import (
    GAP,
    GREY,
    HEADER,
    HEIGHT,
    INK,
    LABEL,
    MARGIN,
    PALETTE,
    ROW,
    SMALL,
    Pill,
    draw_legend,
    draw_link,
    draw_pill,
    legend_width,
    text_width,
)
from graphrec_pt.data.neighborhood import Link, neighborhood
from graphrec_pt.graph.graph import Graph

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LONGEST = 30
"""Characters of the longest label."""


def draw_neighborhood(
    graph: Graph, node: int, hops: int = 2, *, per_relation: int = 6, limit: int = 40
) -> "Figure":
    """Draw the most telling part of what surrounds a node.

    Args:
        graph: The graph.
        node: The node in the middle.
        hops: How far to look.
        per_relation: At most so many new nodes per hop and relation.
        limit: At most so many nodes in all.

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
    counts: bool = False,
) -> "Figure":
    """Draw given nodes and edges, such as a sampler returns.

    Args:
        graph: The graph they are of.
        nodes: Global ids.
        links: (source, target, relation) of every edge to draw; an edge of an inverse relation is
            drawn as the edge that it mirrors.
        root: The node to start from, the first by default.
        title: Line over the picture.
        counts: Say how many of the root's neighbours are left out.

    Raises:
        GraphRecError: When there is nothing to draw, or an edge touches a node not given.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    nodes = list(dict.fromkeys(nodes))
    if not nodes:
        raise GraphRecError("draw", "at least one node", "none")
    root = nodes[0] if root is None else root
    shown = list(dict.fromkeys(_forward(graph, *link) for link in links))
    for end in (root, *(end for link in shown for end in link[:2])):
        if end not in nodes:
            raise GraphRecError("draw", "edges and root among the nodes", f"node {end}")
    columns = layers(nodes, shown, root)
    with _missing_glyphs():
        labels = {node: _label(graph, node) for node in nodes}
        pills, width, height = _placed(columns, labels)
        legend = {graph.type_of(node): _colour(graph, node) for node in sorted(nodes)}
        arcs = [pills[s].right + GAP for s, t, _ in shown if pills[s].left == pills[t].left]
        width = max([width, text_width(title, 11, bold=True), legend_width(legend), *arcs])
        top = 20.0 if title else 0.0
        figure = Figure(figsize=((width + 2 * MARGIN) / 72, (height + top + 52) / 72))
        FigureCanvasAgg(figure)
        axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
        axes.set_xlim(-MARGIN, width + MARGIN)
        axes.set_ylim(-height - 36, top + 16)
        axes.set_axis_off()
        if title:
            axes.text(0, top, title, size=11, weight="bold", color=INK, parse_math=False)
        for link in shown:
            draw_link(axes, pills[link.source], pills[link.target], _colour(graph, link.target))
        for node in nodes:
            draw_pill(axes, pills[node], labels[node], _colour(graph, node), node == root)
        _draw_headers(axes, graph, columns, pills, root if counts else None)
        draw_legend(axes, legend, -height - 22)
    return figure


def save(figure: "Figure", path: str | Path) -> None:
    """Write a picture as .png, .svg or .pdf; the same picture gives the same bytes.

    Raises:
        GraphRecError: For another suffix, or when the file cannot be written.
    """
    from matplotlib import rc_context

    path = Path(path)
    if path.suffix.lower() not in (".png", ".svg", ".pdf"):
        raise GraphRecError("draw", "a .png, .svg or .pdf file", repr(path.name), "another suffix")
    dated = {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}.get(path.suffix.lower())
    kind = path.suffix[1:].lower()
    with rc_context({"svg.hashsalt": "graphrec"}), _missing_glyphs(), finished_file(path) as made:
        figure.savefig(made, format=kind, dpi=160, facecolor="white", metadata=dated)


def _forward(graph: Graph, source: int, target: int, name: str) -> Link:
    relation = graph.schema.relation(name)
    if relation.backward and relation.inverse:
        return Link(target, source, relation.inverse)
    return Link(source, target, name)


def _label(graph: Graph, node: int) -> str:
    kind, label = graph.type_of(node), " ".join(graph.title(node).split())
    if label == graph.raw_id(node) and label.isdigit():
        label = f"{kind} {label}"  # a number alone says nothing
    return label if len(label) <= LONGEST else label[: LONGEST - 1].rstrip() + "…"


def _placed(
    columns: list[list[Group]], labels: dict[int, str]
) -> tuple[dict[int, Pill], float, float]:
    """Return where every node stands, and the width and height of the picture in points."""
    tall = [sum(ROW * len(g.nodes) + HEADER * bool(g.relation) for g in c) for c in columns]
    height = max(tall)
    pills: dict[int, Pill] = {}
    left = 0.0
    for column, used in zip(columns, tall, strict=True):
        wide = (
            max(
                text_width(labels[node], LABEL, bold=column is columns[0])
                for g in column
                for node in g.nodes
            )
            + HEIGHT
        )
        heads = [text_width(_header(g), SMALL) for g in column if g.relation]
        y = -(height - used) / 2
        for group in column:
            y -= HEADER * bool(group.relation)
            for node in group.nodes:
                pills[node] = Pill(left, left + wide, y - ROW / 2)
                y -= ROW
        left += max([wide, *heads]) + GAP
    return pills, left - GAP, height


def _header(group: Group) -> str:
    return f"{group.relation} →" if group.outward else f"← {group.relation}"


def _colour(graph: Graph, node: int) -> str:
    return PALETTE[graph.schema.node_index(graph.type_of(node)) % len(PALETTE)]


def _draw_headers(
    axes: "Axes",
    graph: Graph,
    columns: list[list[Group]],
    pills: dict[int, Pill],
    counted: int | None,
) -> None:
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
            axes.text(
                first.left + 2,
                first.y + ROW / 2 + 1.5,
                text,
                size=SMALL,
                style="italic",
                color=GREY,
                parse_math=False,
                zorder=4,
                bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.6, "alpha": 0.85},
            )


@contextmanager
def _missing_glyphs() -> Iterator[None]:
    """A title in a script that the font lacks is drawn as boxes; that is no reason to warn."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        yield

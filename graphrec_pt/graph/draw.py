"""Pictures of small parts of a graph: a node's neighbourhood, a sampled subgraph, paths.

Nodes are labelled pills in one column per hop, coloured by type (Okabe and Ito's palette, which
the colour-blind tell apart, olive in place of its pale yellow). Over each group stands the
relation that leads to it.
"""

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.graph.graph import Graph
from graphrec_pt.graph.layers import Group, layers
from graphrec_pt.graph.neighborhood import Link, neighborhood

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PALETTE = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9", "#999933", "#7F7F7F")
INK, GREY = "#222222", "#5F6368"
LABEL, SMALL = 8.5, 7.5
"""Font sizes in points; all lengths of a picture are points."""
ROW, HEIGHT, HEADER, GAP, MARGIN = 19.0, 14.0, 15.0, 84.0, 14.0
LONGEST = 30
"""Characters of the longest label."""


@dataclass(frozen=True)
class _Pill:
    """Where a node stands: left and right end, and middle height."""

    left: float
    right: float
    y: float


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
        legend = [t for t in graph.schema.node_names if any(n in graph.nodes(t) for n in nodes)]
        arcs = [pills[s].right + GAP for s, t, _ in shown if pills[s].left == pills[t].left]
        width = max([width, _width(title, 11, bold=True), _legend_width(legend), *arcs])
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
            _draw_link(axes, pills[link.source], pills[link.target], _colour(graph, link.target))
        for node in nodes:
            _draw_pill(axes, pills[node], labels[node], _colour(graph, node), node == root)
        _draw_headers(axes, graph, columns, pills, root if counts else None)
        _draw_legend(axes, graph, legend, -height - 22)
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
    try:
        with rc_context({"svg.hashsalt": "graphrec"}), _missing_glyphs():
            path.parent.mkdir(parents=True, exist_ok=True)
            figure.savefig(path, dpi=160, facecolor="white", metadata=dated)
    except OSError as error:
        raise GraphRecError(str(path), "a file that can be written", error) from error


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
) -> tuple[dict[int, _Pill], float, float]:
    """Return where every node stands, and the width and height of the picture in points."""
    tall = [sum(ROW * len(g.nodes) + HEADER * bool(g.relation) for g in c) for c in columns]
    height = max(tall)
    pills: dict[int, _Pill] = {}
    left = 0.0
    for column, used in zip(columns, tall, strict=True):
        wide = (
            max(
                _width(labels[node], LABEL, bold=column is columns[0])
                for g in column
                for node in g.nodes
            )
            + HEIGHT
        )
        heads = [_width(_header(g), SMALL) for g in column if g.relation]
        y = -(height - used) / 2
        for group in column:
            y -= HEADER * bool(group.relation)
            for node in group.nodes:
                pills[node] = _Pill(left, left + wide, y - ROW / 2)
                y -= ROW
        left += max([wide, *heads]) + GAP
    return pills, left - GAP, height


def _header(group: Group) -> str:
    return f"{group.relation} →" if group.outward else f"← {group.relation}"


def _width(text: str, size: float, *, bold: bool = False) -> float:
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import text_to_path

    font = FontProperties(size=size, weight="bold" if bold else "normal")
    return float(text_to_path.get_text_width_height_descent(text, font, ismath=False)[0])


def _colour(graph: Graph, node: int) -> str:
    return PALETTE[graph.schema.node_index(graph.type_of(node)) % len(PALETTE)]


def _draw_link(axes: "Axes", one: _Pill, two: _Pill, colour: str) -> None:
    from matplotlib.patches import PathPatch
    from matplotlib.path import Path as Curve

    if one.left > two.left:
        one, two = two, one
    if one.left == two.left:  # in one column: an arc on its right
        bulge = one.right + min(18 + 0.22 * abs(one.y - two.y), GAP * 0.8)
        points = [(one.right, one.y), (bulge, one.y), (bulge, two.y), (two.right, two.y)]
    else:
        middle = (one.right + two.left) / 2
        points = [(one.right, one.y), (middle, one.y), (middle, two.y), (two.left, two.y)]
    curve = Curve(points, [Curve.MOVETO, Curve.CURVE4, Curve.CURVE4, Curve.CURVE4])
    axes.add_patch(PathPatch(curve, fill=False, edgecolor=colour, linewidth=1.0, alpha=0.55))


def _draw_pill(axes: "Axes", pill: _Pill, label: str, colour: str, is_root: bool) -> None:
    from matplotlib.colors import to_rgb
    from matplotlib.patches import FancyBboxPatch

    tint = tuple(1 - (1 - channel) * 0.22 for channel in to_rgb(colour))
    axes.add_patch(
        FancyBboxPatch(
            (pill.left, pill.y - HEIGHT / 2),
            pill.right - pill.left,
            HEIGHT,
            boxstyle=f"round,pad=0,rounding_size={HEIGHT / 2}",
            facecolor=colour if is_root else tint,
            edgecolor=INK if is_root else colour,
            linewidth=1.8 if is_root else 0.9,
            zorder=3,
        )
    )
    axes.text(
        pill.left + HEIGHT / 2,
        pill.y - 0.4,
        label,
        size=LABEL,
        weight="bold" if is_root else "normal",
        color="white" if is_root else INK,
        va="center_baseline",
        parse_math=False,
        zorder=4,
    )


def _draw_headers(
    axes: "Axes",
    graph: Graph,
    columns: list[list[Group]],
    pills: dict[int, _Pill],
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


def _legend_width(kinds: Sequence[str]) -> float:
    return sum(11 + _width(kind, LABEL) + 14 for kind in kinds)


def _draw_legend(axes: "Axes", graph: Graph, kinds: Sequence[str], y: float) -> None:
    x = 0.0
    for kind in kinds:
        colour = PALETTE[graph.schema.node_index(kind) % len(PALETTE)]
        axes.plot([x + 4], [y], marker="o", markersize=7, color=colour, clip_on=False)
        axes.text(x + 11, y - 0.4, kind, size=LABEL, color=INK, va="center_baseline")
        x += _legend_width([kind])


@contextmanager
def _missing_glyphs() -> Iterator[None]:
    """A title in a script that the font lacks is drawn as boxes; that is no reason to warn."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        yield

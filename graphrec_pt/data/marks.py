"""The marks of a picture: labelled pills, curves between them, a legend; lengths are points."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PALETTE = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9", "#999933", "#7F7F7F")
INK, GREY = "#222222", "#5F6368"
LABEL, SMALL = 8.5, 7.5
"""Font sizes in points; all lengths of a picture are points."""
ROW, HEIGHT, HEADER, GAP, MARGIN = 19.0, 14.0, 15.0, 84.0, 14.0


@dataclass(frozen=True)
class Pill:
    """Where a node stands: left and right end, and middle height."""

    left: float
    right: float
    y: float


def text_width(text: str, size: float, *, bold: bool = False) -> float:
    """Return how wide a line of text is."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import text_to_path

    font = FontProperties(size=size, weight="bold" if bold else "normal")
    return float(text_to_path.get_text_width_height_descent(text, font, ismath=False)[0])


def draw_link(axes: "Axes", one: Pill, two: Pill, colour: str) -> None:
    """Draw the curve between two pills, an arc on their right when they share a column."""
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


def draw_pill(axes: "Axes", pill: Pill, label: str, colour: str, is_root: bool) -> None:
    """Draw a pill with its label; the root is filled and framed."""
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


def legend_width(kinds: Iterable[str]) -> float:
    """Return how wide a legend is."""
    return sum(11 + text_width(kind, LABEL) + 14 for kind in kinds)


def draw_legend(axes: "Axes", kinds: Mapping[str, str], y: float) -> None:
    """Draw a dot and a name for every colour, in a row at height `y`.

    Args:
        axes: Where to draw.
        kinds: Name → colour.
        y: Height of the row.
    """
    x = 0.0
    for kind, colour in kinds.items():
        axes.plot([x + 4], [y], marker="o", markersize=7, color=colour, clip_on=False)
        axes.text(x + 11, y - 0.4, kind, size=LABEL, color=INK, va="center_baseline")
        x += legend_width([kind])

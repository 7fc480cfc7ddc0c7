"""A picture of labelled pills and links: written as SVG, or as PNG and PDF by matplotlib.

Colours are Okabe and Ito's palette, which colour-blind people can distinguish, with olive in place
of its pale yellow. All lengths are points.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING
from unicodedata import combining, east_asian_width

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.core.printable import printable
from graphrec_pt.core.scratch import finished_file, write_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PALETTE = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9", "#999933", "#7F7F7F")
INK, GREY = "#222222", "#5F6368"
HEIGHT = 14.0
"""Height of a pill."""
SIZES = {"label": 8.5, "header": 7.5, "legend": 8.5, "title": 11.0}
"""Font sizes of texts by kind."""

Point = tuple[float, float]


@dataclass(frozen=True)
class Pill:
    """A node: its left and right end, the height of its middle, and its label.

    Args:
        left: End where the label begins.
        right: The other end.
        y: Middle.
        label: Short enough to fit.
        title: The whole label, shown while a pointer rests on the pill.
        colour: Number of its colour.
        root: Whether it is the node that the picture is about.
    """

    left: float
    right: float
    y: float
    label: str
    title: str
    colour: int
    root: bool


@dataclass(frozen=True)
class Picture:
    """What to draw; y grows downwards.

    Args:
        width: Of the picture.
        height: Of the picture.
        pills: The nodes.
        links: Four control points of a Bézier curve, and the number of its colour.
        texts: (x, y of the base line, text, a key of :data:`SIZES`).
        dots: (x, y, number of the colour) of the legend.
        about: Text description of the picture, for screen readers.
    """

    width: float
    height: float
    pills: tuple[Pill, ...]
    links: tuple[tuple[tuple[Point, Point, Point, Point], int], ...]
    texts: tuple[tuple[float, float, str, str], ...]
    dots: tuple[tuple[float, float, int], ...]
    about: str

    def svg(self, scale: float = 1.0, head: str = "", style: str = "") -> str:
        """Return an SVG element that takes its colours from the style sheet of its page.

        Args:
            scale: Pixels of a point.
            head: More attributes, as markup.
            style: Content of a style element, for a picture that stands alone.
        """
        size = f'viewBox="0 0 {self.width:.1f} {self.height:.1f}"'
        size += f' width="{self.width * scale:.1f}" height="{self.height * scale:.1f}"'
        lines = [f'<svg{head} {size} role="img" aria-label="{_escaped(self.about)}">']
        if style:
            lines.append(f"<style>{style}</style>")
        for ((x, y), *others), colour in self.links:
            curve = " ".join(f"{a:.1f} {b:.1f}" for a, b in others)
            lines.append(f'<path d="M{x:.1f} {y:.1f}C{curve}" class="link s{colour}"/>')
        for pill in self.pills:
            root = " root" if pill.root else ""
            lines.append(
                f'<g><title>{_escaped(pill.title)}</title><rect x="{pill.left:.1f}"'
                f' y="{pill.y - HEIGHT / 2:.1f}" width="{pill.right - pill.left:.1f}"'
                f' height="{HEIGHT:g}" rx="{HEIGHT / 2:g}" class="pill s{pill.colour}{root}"/>'
                f'<text x="{pill.left + HEIGHT / 2:.1f}" y="{pill.y + 3:.1f}"'
                f' class="label{root}">{_escaped(pill.label)}</text></g>'
            )
        for x, y, colour in self.dots:
            lines.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" class="f{colour}"/>')
        for x, y, text, kind in self.texts:
            lines.append(f'<text x="{x:.1f}" y="{y:.1f}" class="{kind}">{_escaped(text)}</text>')
        return "\n".join([*lines, "</svg>"])

    def figure(self) -> "Figure":
        """Return the picture as a figure of matplotlib."""
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
        from matplotlib.patches import PathPatch
        from matplotlib.path import Path as Curve

        figure = Figure(figsize=(self.width / 72, self.height / 72))
        FigureCanvasAgg(figure)
        axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
        axes.set_xlim(0, self.width)
        axes.set_ylim(self.height, 0)
        axes.set_axis_off()
        for points, colour in self.links:
            curve = Curve(points, [Curve.MOVETO, Curve.CURVE4, Curve.CURVE4, Curve.CURVE4])
            line = {"edgecolor": PALETTE[colour], "linewidth": 1.0, "alpha": 0.55}
            axes.add_patch(PathPatch(curve, fill=False, **line))
        for pill in self.pills:
            _draw_pill(axes, pill)
        for x, y, colour in self.dots:
            axes.plot([x], [y], marker="o", markersize=7, color=PALETTE[colour], clip_on=False)
        for x, y, text, kind in self.texts:
            drawn = axes.text(x, y, text, size=SIZES[kind], color=INK, parse_math=False, zorder=4)
            if kind == "header":
                drawn.set(style="italic", color=GREY)
                paper = {"facecolor": "white", "edgecolor": "none", "pad": 0.6, "alpha": 0.85}
                drawn.set_bbox(paper)
            elif kind == "title":
                drawn.set_fontweight("bold")
        return figure


def save(picture: Picture, path: str | Path) -> None:
    """Write a picture as .png, .svg or .pdf; the same picture gives the same bytes.

    Raises:
        GraphRecError: For another suffix, or when the file cannot be written.
    """
    path = Path(path)
    kind = path.suffix[1:].lower()
    if kind not in ("png", "svg", "pdf"):
        raise GraphRecError("draw", "a .png, .svg or .pdf file", repr(path.name), "another suffix")
    if kind == "svg":
        name = ' xmlns="http://www.w3.org/2000/svg"'
        drawn = picture.svg(scale=4 / 3, head=name, style=_style())
        write_text(path, f'<?xml version="1.0" encoding="UTF-8"?>\n{drawn}\n')
        return
    dated = {"CreationDate": None} if kind == "pdf" else None
    with _missing_glyphs(), finished_file(path) as made:
        picture.figure().savefig(made, format=kind, dpi=160, facecolor="white", metadata=dated)


def text_width(text: str, kind: str, *, bold: bool = False) -> float:
    """Return an upper estimate of how wide a line of text is in DejaVu Sans or Verdana."""
    wide = bold or kind == "title"
    return sum(map(_em, text)) * SIZES[kind] * (1.12 if wide else 1.0)


def _em(letter: str) -> float:
    """Return how wide a letter is, in font sizes."""
    if combining(letter):
        return 0.0
    if east_asian_width(letter) in "WF" or letter in "mwMWOQ@%&—…→←":
        return 1.0
    if letter in "iljtfrI.,:;'|!()[]/\\ -":
        return 0.42
    return 0.79 if letter.isupper() else 0.65


def _escaped(text: str) -> str:
    return escape(printable(text))


def _tint(colour: str) -> str:
    channels = (int(colour[place : place + 2], 16) for place in (1, 3, 5))
    return "#" + "".join(f"{round(255 - (255 - channel) * 0.22):02x}" for channel in channels)


def _style() -> str:
    """Return the style sheet of a picture that stands alone: on white paper."""
    rules = [
        f"text{{font:8.5px 'DejaVu Sans',Verdana,sans-serif;fill:{INK}}}svg{{background:#fff}}"
    ]
    rules.append(".link{fill:none;stroke-opacity:.55}.pill{stroke-width:.9}.title{font:bold 11px")
    rules.append("'DejaVu Sans',Verdana,sans-serif}.header{font-size:7.5px;font-style:italic;")
    rules.append(f"fill:{GREY};stroke:#fff;stroke-width:2;paint-order:stroke}}")
    for number, colour in enumerate(PALETTE):
        rules.append(f".s{number}{{stroke:{colour}}}.f{number}{{fill:{colour}}}")
        rules.append(f".pill.s{number}{{fill:{_tint(colour)}}}.root.s{number}{{fill:{colour}}}")
    rules.append(f".pill.root{{stroke:{INK};stroke-width:1.8}}")
    rules.append(".label.root{fill:#fff;font-weight:bold}")
    return "".join(rules)


def _draw_pill(axes: "Axes", pill: Pill) -> None:
    from matplotlib.patches import FancyBboxPatch

    colour = PALETTE[pill.colour]
    axes.add_patch(
        FancyBboxPatch(
            (pill.left, pill.y - HEIGHT / 2),
            pill.right - pill.left,
            HEIGHT,
            boxstyle=f"round,pad=0,rounding_size={HEIGHT / 2}",
            facecolor=colour if pill.root else _tint(colour),
            edgecolor=INK if pill.root else colour,
            linewidth=1.8 if pill.root else 0.9,
            zorder=3,
        )
    )
    axes.text(
        pill.left + HEIGHT / 2,
        pill.y + 0.4,
        pill.label,
        size=SIZES["label"],
        weight="bold" if pill.root else "normal",
        color="white" if pill.root else INK,
        va="center_baseline",
        parse_math=False,
        zorder=4,
    )


@contextmanager
def _missing_glyphs() -> Iterator[None]:
    """Draw boxes for a script that the font lacks, without a warning."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        yield

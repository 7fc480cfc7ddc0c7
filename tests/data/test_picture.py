"""How a picture is written: the same in every format, whatever titles hold."""

import errno
import os
import re
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import polars as pl
import pytest
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import text_to_path

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.data.draw import draw_neighborhood
from graphrec_pt.data.picture import save, text_width
from graphrec_pt.graph.graph import Graph

SVG = "{http://www.w3.org/2000/svg}"


def titled(graph: Graph, title: str) -> Graph:
    items = graph.tables["item"].with_columns(title=pl.lit(title))
    return replace(graph, tables={**graph.tables, "item": items})


@pytest.mark.parametrize(
    ("title", "shown"),
    [
        ("$5 to $x_{1", "$5 to $x_{1"),  # not a formula
        ("東京物語", "東京物語"),  # not in the font
        ("line\nbreak  and\ttab", "line break and tab"),
        ("a" * 50, "a" * 29 + "…"),
        ("", ""),
        ('</text><script>x="&', '</text><script>x="&'),
        ("]]><!-- &#27; -->", "]]><!-- &#27; -->"),
        ("\x1b[31m\x00red\ufffe", r"\x1b[31m\x00red\ufffe"),
        ("[bold]x[/bold]", "[bold]x[/bold]"),
    ],
)
def test_odd_titles(toy_graph: Graph, tmp_path: Path, title: str, shown: str) -> None:
    picture = draw_neighborhood(titled(toy_graph, title), 3)
    assert shown in [pill.label for pill in picture.pills]
    save(picture, tmp_path / "odd.png")
    save(picture, tmp_path / "odd.svg")
    root = ElementTree.fromstring((tmp_path / "odd.svg").read_bytes())
    labels = [
        each.text or "" for each in root.iter(f"{SVG}text") if "label" in each.attrib["class"]
    ]
    assert shown in labels
    assert "\x1b" not in (tmp_path / "odd.svg").read_text(encoding="utf-8")


@pytest.mark.parametrize("suffix", [".png", ".svg", ".pdf"])
def test_files_are_the_same_each_time(toy_graph: Graph, tmp_path: Path, suffix: str) -> None:
    for name in ("one", "two"):
        save(draw_neighborhood(toy_graph, 0), tmp_path / "new" / f"{name}{suffix}")
    one, two = ((tmp_path / "new" / f"{name}{suffix}").read_bytes() for name in ("one", "two"))
    assert one == two
    magic = {".png": rb"^\x89PNG", ".svg": rb"<svg", ".pdf": rb"^%PDF"}[suffix]
    assert re.search(magic, one)


def test_other_files_are_refused(toy_graph: Graph, tmp_path: Path) -> None:
    figure = draw_neighborhood(toy_graph, 0, hops=1)
    with pytest.raises(GraphRecError, match=r"\.png, \.svg or \.pdf"):
        save(figure, tmp_path / "picture.bmp")
    (tmp_path / "file").write_text("")
    with pytest.raises(GraphRecError, match="can be written"):
        save(figure, tmp_path / "file" / "picture.png")


def test_svg_and_png_show_the_same(toy_graph: Graph, tmp_path: Path) -> None:
    picture = draw_neighborhood(toy_graph, 0)
    save(picture, tmp_path / "a.svg")
    root = ElementTree.fromstring((tmp_path / "a.svg").read_bytes())
    written = sorted(each.text or "" for each in root.iter(f"{SVG}text"))
    assert written == sorted(text.get_text() for text in picture.figure().axes[0].texts)
    assert len(list(root.iter(f"{SVG}path"))) == len(picture.links)
    assert len(list(root.iter(f"{SVG}rect"))) == len(picture.pills)
    for pill, box in zip(picture.pills, root.iter(f"{SVG}rect"), strict=True):
        assert float(box.attrib["x"]) == pytest.approx(pill.left, abs=0.06)
        assert float(box.attrib["width"]) == pytest.approx(pill.right - pill.left, abs=0.06)


@pytest.mark.parametrize("text", ["MWMW QOQO", "illicit fjord (1996)", "Ünïcödé", "a b c d e"])
@pytest.mark.parametrize("bold", [False, True])
def test_estimated_widths_are_upper_ones(text: str, bold: bool) -> None:
    font = FontProperties(family="DejaVu Sans", size=8.5, weight="bold" if bold else "normal")
    real = text_to_path.get_text_width_height_descent(text, font, ismath=False)[0]
    assert real <= text_width(text, "label", bold=bold) <= 1.7 * real


@pytest.mark.parametrize("name", ["picture.svg", "picture.png"])
def test_a_full_disk_leaves_the_picture_that_was_there(
    name: str, toy_graph: Graph, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture = draw_neighborhood(toy_graph, 0, hops=1)
    (tmp_path / name).write_text("before")

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)  # a disk that is full may only say so here
    with pytest.raises(GraphRecError, match="No space left on device"):
        save(picture, tmp_path / name)
    assert [p.read_text() for p in tmp_path.iterdir()] == ["before"]

"""Files that come week by week make the graph of all files, to the fingerprint."""

from pathlib import Path

import polars as pl
import pytest

from graphrec_pt import GraphRecError
from graphrec_pt.cli import main
from graphrec_pt.data.append import append
from graphrec_pt.data.build import build_card
from graphrec_pt.data.card import Card, parse_card
from graphrec_pt.graph.graph import Graph
from graphrec_pt.graph.split import split
from graphrec_pt.graph.store import open_graph

CARD = """
name: weekly
tables:
  sales: {file: sales.csv}
  items: {file: items.csv}
  reviews: {file: reviews.csv, optional: true}
nodes:
  user: {}
  item: {table: items, id: item, columns: {title: text, price: number}, title: title, unknown: add}
  brand: {}
  tag: {}
  review: {table: reviews, id: review, columns: {words: text}, unknown: add}
edges:
  buys: {table: sales, source: user.user, target: item.item, time: time, weight: qty,
    columns: {channel: category}, event: review.review, interaction: true}
  made_by: {table: items, source: item.item, target: brand.brand}
  tagged: {table: items, source: item.item, target: tag.tags, split: "|"}
"""
SALES = pl.DataFrame(
    [
        (10, "a", 5, 1.0, "web", "r1"),
        (9, "b", 5, 2.0, "shop", None),
        (9, "b", 5, 2.0, "shop", None),
        (11, "c", 7, 1.0, "web", "r2"),
        (9, "a", 8, 1.0, "web", None),
        (100, "d", 9, 3.0, "app", None),
        (10, "c", 9, 1.0, "web", "r3"),
        (12, "e", 11, 1.0, "web", None),
        (9, "c", 11, 2.0, "shop", "r4"),
    ],
    schema=["user", "item", "time", "qty", "channel", "review"],
    orient="row",
)
ITEMS = pl.DataFrame(
    [
        ("a", "Axe", 3.5, "Acme", "sharp|new"),
        ("b", "Bow", None, "Boom", "new"),
        ("c", "Cup", 2.25, None, None),
        ("d", "Dye", 7.0, "Acme", "red|new"),
    ],
    schema=["item", "title", "price", "brand", "tags"],
    orient="row",
)
REVIEWS = pl.DataFrame({"review": ["r1", "r2", "r3"], "words": ["fine", "fair", None]})


def card() -> Card:
    return parse_card(CARD, "weekly")


def written(folder: Path, **tables: pl.DataFrame) -> Path:
    folder.mkdir()
    for name, table in tables.items():
        table.write_csv(folder / f"{name}.csv")
    return folder


def whole(tmp_path: Path) -> Graph:
    folder = written(tmp_path / "all", sales=SALES, items=ITEMS, reviews=REVIEWS)
    return build_card(card(), folder)


@pytest.mark.parametrize("cut", [3, 5, 8])
def test_two_weeks_are_the_graph_of_all_files(tmp_path: Path, cut: int) -> None:
    first = written(tmp_path / "one", sales=SALES[:cut], items=ITEMS[:2], reviews=REVIEWS[:1])
    then = written(tmp_path / "two", sales=SALES[cut:], items=ITEMS[2:], reviews=REVIEWS[1:])
    made = append(build_card(card(), first), card(), then)
    expected = whole(tmp_path)
    assert made.fingerprint == expected.fingerprint
    for name in expected.tables:
        assert made.tables[name].equals(expected.tables[name])
    assert made.edge_tables["buys"].equals(expected.edge_tables["buys"])


def test_a_saved_graph_and_a_week_of_sales_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = written(tmp_path / "one", sales=SALES[:6], items=ITEMS, reviews=REVIEWS)
    (tmp_path / "weekly.yaml").write_text(CARD)
    build_card(card(), first, out=tmp_path / "graph")
    then = written(tmp_path / "two", sales=SALES[6:])
    command = ["data", "append", str(tmp_path / "graph"), "--raw", str(then)]
    assert main(command) == 2  # the card is not one of the library's
    assert main([*command, "--card", str(tmp_path / "weekly.yaml")]) == 0
    assert "saved in" in capsys.readouterr().out
    assert open_graph(tmp_path / "graph").fingerprint == whole(tmp_path).fingerprint


@pytest.mark.parametrize("seed", [None, 3])
def test_text_ids_and_other_seeds(tmp_path: Path, seed: int | None) -> None:
    sales = SALES.with_columns(pl.format("u{}", "user").alias("user"))
    first = written(tmp_path / "one", sales=sales[:4], items=ITEMS)
    then = written(tmp_path / "two", sales=sales[4:])
    every = written(tmp_path / "all", sales=sales, items=ITEMS)
    made = append(build_card(card(), first, seed=seed), card(), then)
    assert made.fingerprint == build_card(card(), every, seed=seed).fingerprint


def test_what_needs_the_old_files_is_told(tmp_path: Path) -> None:
    graph = whole(tmp_path)
    then = written(tmp_path / "two", sales=SALES[6:])
    core = parse_card(CARD + "core: {relation: buys, source: 1, target: 1}\n", "weekly")
    with pytest.raises(GraphRecError, match="a card without `core`"):
        append(graph, core, then)
    bins = CARD.replace('split: "|"}', "quantiles: 2}").replace("tag.tags", "tag.price")
    with pytest.raises(GraphRecError, match="a card without `quantiles`"):
        append(graph, parse_card(bins, "weekly"), then)
    with pytest.raises(GraphRecError, match="the whole graph, got a view of a split"):
        append(split(graph, {"name": "ratio", "test": 0.5}).train, card(), then)
    with pytest.raises(GraphRecError, match="one of the files of the card"):
        append(graph, card(), written(tmp_path / "three"))

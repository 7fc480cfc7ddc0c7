"""Messy tables become a card that builds, and the card says what was unsure."""

from pathlib import Path

import polars as pl
import pytest

from graphrec_pt import GraphRecError
from graphrec_pt.data.build import build_card
from graphrec_pt.data.card import parse_card
from graphrec_pt.data.infer_card import infer_card
from graphrec_pt.graph.graph import Graph

ORDERS = """order_id,customer_id,sku,ordered_at,qty,channel
1,10,A,2024-01-01 10:00:00,1,web
2,10,B,2024-01-02 10:00:00,2,shop
3,11,A,2024-01-03 10:00:00,1,web
4,11,C,2024-01-04 10:00:00,-1,web
5,,B,2024-01-05 10:00:00,1,web
6,12,C,2024-01-06 10:00:00,3,shop
7,99,A,2024-01-06 11:00:00,1,web
8,12,B,yesterday,1,web
9,12,A,2024-01-08 10:00:00,1,web
10,10,C,2024-01-09 10:00:00,1,web
11,11,B,2024-01-10 10:00:00,1,web
"""
PRODUCTS = """sku;title;brand;category;tags;price;description
A;Spade;Acme;Garden > Tools;sale|new;12,99 €;A strong spade for heavy ground and long days
B;Rake;acme ;Garden > Tools > Rakes;new;1.105,10 €;A wide rake that gathers leaves of all kinds
C;Pot;Boom;Kitchen > Pots;sale|new;7,50 €;A pot that has room for soup and six guests
D;Lid;Boom;Kitchen > Pots;sale;2,00 €;A lid for the pot, which is sold apart from it
"""
CUSTOMERS = "customer_id,city,age\n10,Ulm,30\n11,Ulm,41\n12,Kiel,52\n13,Kiel,28\n"


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    for name, text in (("orders", ORDERS), ("products", PRODUCTS), ("customers", CUSTOMERS)):
        (tmp_path / f"{name}.csv").write_text(text, encoding="utf-8")
    return tmp_path


def built(folder: Path) -> Graph:
    return build_card(parse_card(infer_card(folder, "shop"), "card"), folder)


def targets(graph: Graph, node: str, kind: str, relation: str) -> set[str]:
    found = graph.neighbors(graph.node_id(kind, node), relation).tolist()
    return {graph.raw_id(each) for each in found}


def test_three_messy_files_become_a_graph(shop: Path) -> None:
    graph = built(shop)
    assert graph.num_edges("buys") == 8  # without the return, the nameless and the undated row
    assert graph.num_nodes("user") == 5  # 99 is in no table of customers, 13 never bought
    assert targets(graph, "A", "item", "has_tags") == {"sale", "new"}
    prices = dict(graph.tables["item"].select("id", "price").iter_rows())
    assert prices == pytest.approx({"A": 12.99, "B": 1105.1, "C": 7.5, "D": 2.0}, rel=1e-6)
    assert graph.title(graph.node_id("item", "A")) == "Spade"
    assert graph.schema.relation("buys").weighted
    assert graph.schema.relation("buys").timed


def test_category_paths_are_a_tree(shop: Path) -> None:
    graph = built(shop)
    rakes = "Garden > Tools > Rakes"
    assert targets(graph, "B", "item", "in_category") == {rakes}
    assert targets(graph, rakes, "category", "category_is_a") == {"Garden > Tools"}
    assert targets(graph, "Garden > Tools", "category", "category_is_a") == {"Garden"}
    assert targets(graph, "Garden", "category", "category_is_a") == set()


def test_spellings_of_one_brand_are_one_node(shop: Path) -> None:
    assert set(built(shop).tables["brand"]["id"]) == {"acme", "boom"}


def test_the_card_says_what_was_unsure(shop: Path) -> None:
    text = infer_card(shop)
    for part in ("99", "12,99 €", "yesterday", "no `customer_id`", "qty <= 0", "'acme'"):
        assert any(part in line for line in text.splitlines() if line.startswith("#   - ")), part


def test_kinds_of_events_are_relations(tmp_path: Path) -> None:
    rows = [(f"u{n % 5}", f"i{n % 7}", 1_600_000_000_000 + n, "view") for n in range(20)]
    rows += [(f"u{n % 5}", f"i{n % 7}", 1_600_000_100_000 + n, "purchase") for n in range(12)]
    names = ["visitor", "product", "timestamp", "event"]
    pl.DataFrame(rows, schema=names, orient="row").write_ndjson(tmp_path / "log.jsonl")
    card = parse_card(infer_card(tmp_path), "card")
    assert list(card.edges) == ["purchase", "view"]  # what is bought is predicted
    assert card.time_unit == "ms"
    graph = build_card(card, tmp_path)
    assert (graph.num_edges("purchase"), graph.num_edges("view")) == (12, 20)


def test_a_parquet_table_with_lists(tmp_path: Path) -> None:
    events = {"user_id": ["a", "a", "b"], "item_id": [1, 2, 1], "day": [3, 4, 5]}
    pl.DataFrame(events).write_parquet(tmp_path / "events.parquet")
    items = {"item_id": [1, 2], "genres": [["x", "y"], ["y"]]}
    pl.DataFrame(items).write_parquet(tmp_path / "items.parquet")
    graph = built(tmp_path)
    assert targets(graph, "1", "item", "has_genres") == {"x", "y"}


def test_a_file_without_headers(tmp_path: Path) -> None:
    rows = "".join(f"{n % 4}\t{n % 3}\t{1 + n % 5}\t{880000000 + n}\n" for n in range(24))
    (tmp_path / "u.txt").write_text(rows)
    card = parse_card(infer_card(tmp_path), "card")
    assert card.tables["u"].header == ("user", "item", "rating", "time")
    assert build_card(card, tmp_path).num_edges("rates") == 24


def test_ids_are_found_by_their_values(tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_text(
        "who,what\n" + "".join(f"a{n % 5},b{n % 6}\n" for n in range(30))
    )
    (tmp_path / "people.csv").write_text("who,town\n" + "".join(f"a{n},T\n" for n in range(5)))
    (tmp_path / "things.csv").write_text("what,kind\n" + "".join(f"b{n},K\n" for n in range(6)))
    card = parse_card(infer_card(tmp_path), "card")
    assert sorted(edge.table for edge in card.edges.values()) == ["log", "people", "things"]
    assert "is the item" in infer_card(tmp_path)


@pytest.mark.parametrize("content", ["price,colour\n1,red\n2,blue\n", "", "\x00\x01"])
def test_a_folder_without_interactions(tmp_path: Path, content: str) -> None:
    (tmp_path / "a.csv").write_text(content)
    with pytest.raises(GraphRecError):
        infer_card(tmp_path)


def test_a_folder_without_tables(tmp_path: Path) -> None:
    with pytest.raises(GraphRecError, match="files that end in"):
        infer_card(tmp_path)
    with pytest.raises(GraphRecError, match="a folder of tables"):
        infer_card(tmp_path / "none")

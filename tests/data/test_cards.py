"""Every shipped card: it loads, says what it must, and builds from a sample in official layout."""

from pathlib import Path
from shutil import copyfile
from typing import Any

import polars as pl
import pytest
import yaml

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.data.build import build_card
from graphrec_pt.data.card import Card, card_files, load_card, parse_card
from graphrec_pt.graph.derive import derive
from graphrec_pt.graph.graph import Graph
from graphrec_pt.graph.split import split

SAMPLES = Path(__file__).parent / "samples"
NAMES = [file.name.removesuffix(".yaml") for file in card_files()]
INLINE = {"toy-shop"}  # their tables are written in the card
LAYOUTS = {  # sample folder of another layout → card
    "polyvore-ngnn": "polyvore-outfits",
    "yoochoose-subset": "yoochoose",
    "diginetica-lists": "diginetica",
}
COUNTS: dict[str, dict[str, int]] = yaml.safe_load((SAMPLES / "counts.yaml").read_text())


def built(sample: str) -> Graph:
    return build_card(load_card(LAYOUTS.get(sample, sample)), SAMPLES / sample)


def counts(graph: Graph, names: Any) -> dict[str, int]:
    nodes = graph.schema.node_names
    return {n: graph.num_nodes(n) if n in nodes else graph.num_edges(n) for n in names}


def ends(graph: Graph, relation: str) -> set[tuple[str, str]]:
    edges = graph.edges(relation)
    pairs = zip(edges.source.tolist(), edges.target.tolist(), strict=True)
    return {(graph.raw_id(u), graph.raw_id(v)) for u, v in pairs}


def times(graph: Graph, relation: str) -> dict[tuple[str, str], int]:
    edges = graph.edges(relation)
    assert edges.time is not None
    rows = zip(edges.source.tolist(), edges.target.tolist(), edges.time.tolist(), strict=True)
    return {(graph.raw_id(u), graph.raw_id(v)): t for u, v, t in rows}


def row(graph: Graph, node_type: str, raw_id: str) -> dict[str, Any]:
    return graph.tables[node_type].row(by_predicate=pl.col("id") == raw_id, named=True)


@pytest.mark.parametrize("name", NAMES)
def test_card_says_what_it_must(name: str) -> None:
    card = load_card(name)
    assert card.name == name
    assert card.title
    assert card.about
    assert card.licence.name
    assert card.sources or name in {"toy-shop", "tables", "recbole"}
    assert all(source.url or source.package or source.page for source in card.sources)
    assert any(edge.interaction for edge in card.edges.values())
    unknown = set(card.expect) - set(card.nodes) - set(card.edges)
    assert not unknown


def test_every_card_has_a_sample() -> None:
    assert set(NAMES) - INLINE == set(COUNTS) - set(LAYOUTS)
    assert {folder.name for folder in SAMPLES.iterdir() if folder.is_dir()} == set(COUNTS)


def test_every_card_stands_in_the_table_of_the_readme() -> None:
    readme = (Path(__file__).parents[2] / "datasets" / "README.md").read_text(encoding="utf-8")
    assert [name for name in NAMES if f"| `{name}` |" not in readme] == []


@pytest.mark.parametrize("sample", sorted(COUNTS))
def test_sample_has_the_counts_of_its_files(sample: str) -> None:
    assert counts(built(sample), COUNTS[sample]) == COUNTS[sample]


def test_toy_shop_uses_every_feature(tmp_path: Path) -> None:
    card = load_card("toy-shop")
    graph = build_card(card, tmp_path)
    assert graph.provenance["unexpected"] == {}
    kinds = {kind for node in card.nodes.values() for kind in node.columns.values()}
    assert kinds == {"text", "number", "category", "vector"}
    used = {field for edge in card.edges.values() for field in edge.model_fields_set}
    features = {"time", "weight", "columns", "split", "flags", "bins", "quantiles", "event"}
    assert features <= used
    assert any(edge.inverse is False for edge in card.edges.values())
    assert {config["name"] for config in card.derive} == {"co_interaction", "transition"}
    assert times(graph, "views")["s1", "drum"] == 1709280000250
    assert ends(graph, "aged") == {
        ("ann", "<18"),
        ("bob", "18–60"),
        ("dan", "18–60"),
        ("cat", "≥60"),
    }
    assert ends(graph, "has_trait") == {
        ("drum", "noisy"),
        ("flute", "noisy"),
        ("flute", "wooden"),
        ("puzzle", "wooden"),
    }
    spent = graph.edge_tables["buys"]["spent"].drop_nulls().sort().to_list()
    assert spent == [12.5, 12.5, 18.0]


def test_movielens_100k_reads_latin1_flags_and_dates() -> None:
    graph = built("movielens-100k")
    assert row(graph, "item", "10") == {"id": "10", "title": "Café Lumière (1996)", "year": "1996"}
    assert ends(graph, "has_genre") == {("10", "Action"), ("10", "Comedy"), ("20", "unknown")}
    assert ends(graph, "has_age") == {("1", "<18"), ("2", "≥56")}


def test_movielens_100k_from_parquet_is_the_same_graph(tmp_path: Path) -> None:
    folder = SAMPLES / "movielens-100k"
    card = load_card("movielens-100k")
    text = {"encoding": "latin1", "quote_char": None, "separator": "|", "has_header": False}
    header = card.tables["items"].header
    assert isinstance(header, tuple)
    ratings = pl.read_csv(
        folder / "u.data",
        separator="\t",
        has_header=False,
        new_columns=["user_id", "movie_id", "rating", "timestamp"],
    )
    users = pl.read_csv(
        folder / "u.user",
        new_columns=["user_id", "age", "gender", "occupation", "zip_code"],
        schema_overrides={"column_5": pl.String},
        separator="|",
        has_header=False,
    )
    items = pl.read_csv(folder / "u.item", new_columns=list(header), **text).rename(
        {"item": "movie_id", "title": "movie_title", "release": "release_date"}
    )
    for name, frame in {"data": ratings, "users": users, "items": items}.items():
        path = tmp_path / f"MovieLens100k_{name}.parquet.brotli"
        frame.write_parquet(path, compression="brotli")
    assert build_card(card, tmp_path).fingerprint == built("movielens-100k").fingerprint


def test_movielens_1m_looks_codes_up_and_keeps_single_colons() -> None:
    graph = built("movielens-1m")
    assert row(graph, "user", "1")["occupation"] == "K-12 student"
    assert row(graph, "user", "2")["age"] == "56 or more"
    assert row(graph, "item", "10")["title"] == "Two: A Story (1999)"
    assert row(graph, "item", "20")["title"] == "Naïve (1998)"


def test_movielens_csv_has_no_year_or_genre_where_none_is_given() -> None:
    graph = built("movielens-25m")
    assert row(graph, "item", "20") == {"id": "20", "title": "Untitled", "year": None}
    assert ends(graph, "has_genre") == {("10", "Comedy"), ("10", "Drama"), ("30", "Drama")}
    assert ends(graph, "tagged") == {("10", "sea"), ("20", "calm, slow")}
    assert ends(graph, "described_by") == {("10", "1"), ("20", "2")}


def test_amazon_reviews_are_events_and_metadata_stays_among_reviewed_items() -> None:
    graph = built("amazon-2014")
    assert row(graph, "item", "K1")["title"] == "Kite 'Sky'"
    assert row(graph, "item", "K1")["price"] == pytest.approx(9.99)
    assert ends(graph, "also_bought") == {("K1", "K2")}
    assert ends(graph, "about") == {
        ("U1-K1-1300000000", "K1"),
        ("U2-K1-1300086400", "K1"),
        ("U1-K2-1300172800", "K2"),
    }
    assert graph.schema.relation("reviews").event == "review"
    assert row(built("amazon-2018"), "item", "K1")["price"] == pytest.approx(1009.99)


def test_aspects_are_whole_words_of_reviews() -> None:
    graph = built("amazon-2014-aspects")
    assert ends(graph, "mentions") == {
        ("U1-A1-1300000000", "tone"),
        ("U1-A1-1300000000", "strings"),
        ("U1-A1-1300000000", "amp"),
        ("U1-A2-1300172800", "price"),
        ("U1-A2-1300172800", "quality"),
    }
    assert graph.title(graph.node_id("item", "A1")) == "Small 'Amp'"
    assert ends(derive(graph), "has_aspect") == {
        ("A1", "tone"),
        ("A1", "strings"),
        ("A1", "amp"),
        ("A2", "price"),
        ("A2", "quality"),
    }


def test_amazon_without_metadata(tmp_path: Path) -> None:
    (tmp_path / "Kites_5.json").write_bytes(
        (SAMPLES / "amazon-2014" / "reviews_Kites_5.json").read_bytes()
    )
    graph = build_card(load_card("amazon-2014"), tmp_path)
    assert counts(graph, ["user", "item", "reviews"]) == {"user": 2, "item": 2, "reviews": 3}
    assert graph.title(graph.node_id("item", "K1")) == "K1"


def test_sequences_have_keywords_and_a_knowledge_graph() -> None:
    graph = built("amazon-beauty")
    assert row(graph, "item", "1") == {"id": "1", "code": "A", "keywords": "green soap"}
    assert row(graph, "item", "2")["keywords"] is None
    assert ends(graph, "same_as") == {("1", "A")}
    assert ends(graph, "has_brand") == {("4", "Clip"), ("1", "Lathery"), ("3", "Lathery")}
    assert times(graph, "buys")["3", "2"] == 3
    assert graph.schema.time_unit == "ordinal"


def test_relations_left_out_are_as_if_their_files_were_not_there(tmp_path: Path) -> None:
    card, folder = load_card("amazon-beauty"), SAMPLES / "amazon-beauty"
    for file in folder.iterdir():
        if file.is_file():
            copyfile(file, tmp_path / file.name)
    less = build_card(card.without([*card.all_time, "has_brand", "in_category"]), folder)
    assert less.fingerprint == build_card(card, tmp_path).fingerprint
    some = build_card(card.without(card.all_time), folder)
    assert {"has_brand", "in_category"} <= set(some.schema.relation_names)
    assert "related_product" not in some.schema.node_names
    with pytest.raises(GraphRecError, match=r"'has_brnd'; did you mean 'has_brand'"):
        card.without(["has_brnd"])


def test_yelp_splits_categories_and_friends() -> None:
    graph = built("yelp")
    assert ends(graph, "in_category") == {("b1", "Coffee & Tea"), ("b1", "Food")}
    assert ends(graph, "friend_of") == {("u1", "u2"), ("u2", "u1")}
    assert times(graph, "reviews")["u1", "b1"] == 1531001351
    assert row(graph, "review", "r1")["text"] == "Warm.\nQuiet."


def test_mind_tells_folders_apart_and_hides_labels() -> None:
    graph = built("mind")
    assert ends(graph, "clicks") == {("U1", "N3"), ("U2", "N3"), ("U1", "N4")}
    assert ("MINDsmall_dev/1", "N1") in ends(graph, "shows")
    assert "clicked" not in graph.edge_tables.get("shows", pl.DataFrame()).columns
    assert times(graph, "clicks")["U1", "N3"] == 1573398030
    assert row(graph, "item", "N1")["title"] == 'Boats "win"'
    assert set(graph.edge_tables["clicks"]["split"]) == {"MINDsmall_train", "MINDsmall_dev"}


def test_mind_shows_no_held_out_click_as_read_before(tmp_path: Path) -> None:
    """Case 42, msnews.github.io#19: the test folder lies beside the training folder."""
    day = "11/{}/2019 9:05:58 AM"
    news = "".join(f"N{k}\tsports\tgolf\tT{k}\t\thttps://x\t[]\t[]\n" for k in range(1, 9))
    train = "".join(f"{n}\tU1\t{day.format(n + 9)}\tN1\tN{n + 1}-1 N8-0\n" for n in (1, 2, 3, 4))
    later = f"1\tU1\t{day.format(20)}\tN1 N2 N3 N4 N5\tN7 N8\n"
    for folder, rows in (("MINDlarge_train", train), ("MINDlarge_test", later)):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "behaviors.tsv").write_text(rows)
        (tmp_path / folder / "news.tsv").write_text(news)
    graph = build_card(load_card("mind"), tmp_path)
    assert ends(graph, "read_before") == {("U1", "N1")}
    cut = split(graph, {"name": "leave_one_out", "relation": "clicks"})
    assert len(cut.test) == 1
    assert not cut.warnings


def test_mimic_builds_the_trees_of_its_codes() -> None:
    graph = built("mimic-iii")
    assert ends(graph, "diagnosis_is_a") == {
        ("0388", "038"),
        ("4019", "401"),
        ("E8809", "E880"),
        ("V4501", "V45"),
    }
    assert ("038", "001-139 infections") in ends(graph, "diagnosis_in")
    assert ("401", "390-459 circulation") in ends(graph, "diagnosis_in")
    assert ends(graph, "procedure_in") == {("00", "00 other"), ("39", "35-39 circulation")}
    assert ends(graph, "drug_is_a") == {("N05B", "N05")}
    assert ends(graph, "drug_in") == {("N05", "N")}
    weight = graph.edges("prescribed").weight
    assert weight is not None
    assert sorted(weight.tolist()) == [1.0, 1.0, 2.0]
    assert row(graph, "diagnosis", "4019")["title"] == "Hypertension, unspecified"


def test_fixed_splits_are_edge_columns() -> None:
    kg = built("movielens-1m-kg").edge_tables["watches"]["split"]
    assert sorted(kg) == ["test", "test", "train", "train", "train", "valid"]
    assert sorted(built("yoochoose-subset").edge_tables["clicks"]["split"]) == [
        "test",
        "train",
        "train",
    ]


def test_times_of_the_shops() -> None:
    assert times(built("yoochoose"), "buys") == {("2", "700001"): 1398989400500}
    assert times(built("diginetica"), "clicks")["2", "502"] == 1456876800019
    assert times(built("retailrocket"), "carts") == {("1", "100"): 1434000100}
    assert times(built("online-retail"), "buys")["90001", "A1"] == 1291541400


def test_card_names_its_tables(tmp_path: Path) -> None:
    text = """
name: bad
title: Bad
licence: {name: none}
tables:
  sales: {rows: [{u: 1, i: 2}], lookup: {x: {column: i, table: items}}}
  items: {rows: [{i: 2, x: 3}]}
nodes: {user: {}, item: {table: item, id: i}}
edges: {buys: {table: sales, source: user.u, target: item.i}}
"""
    with pytest.raises(GraphRecError) as caught:
        parse_card(text, "bad.yaml")
    assert "nodes.item.table: expected a table of the card, got 'item'" in str(caught.value)
    assert "tables.sales.lookup: expected an earlier table, got 'items'" in str(caught.value)


def test_lookup_needs_its_columns() -> None:
    text = """
name: bad
title: Bad
licence: {name: none}
tables:
  items: {rows: [{i: 2, x: 3}]}
  sales: {rows: [{u: 1, i: 2}], lookup: {y: {column: i, table: items}}}
nodes: {user: {}, item: {}}
edges: {buys: {table: sales, source: user.u, target: item.i}}
"""
    card = parse_card(text, "bad.yaml")
    assert isinstance(card, Card)
    with pytest.raises(GraphRecError, match="expected a column 'y'"):
        build_card(card, SAMPLES)

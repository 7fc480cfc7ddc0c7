from collections import Counter
from pathlib import Path

import polars as pl
import pytest
import torch

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.data.build import build_card
from graphrec_pt.data.card import load_card
from graphrec_pt.data.convert import from_recbole, to_recbole
from graphrec_pt.graph.graph import Graph
from graphrec_pt.graph.split import keep_edges, split


def rows(graph: Graph, relation: str) -> Counter[tuple[object, ...]]:
    edges = graph.edges(relation)
    columns: list[list[object]] = [
        [graph.raw_id(n) for n in edges.source.tolist()],
        [graph.raw_id(n) for n in edges.target.tolist()],
    ]
    columns += [c.tolist() for c in (edges.time, edges.weight) if c is not None]
    return Counter(zip(*columns, strict=True))


def by_id(table: pl.DataFrame) -> list[tuple[object, ...]]:
    texts = table.with_columns(pl.col(pl.Enum).cast(pl.String)) if table.width > 1 else table
    return texts.sort("id").rows()


def test_files_by_hand(toy_graph: Graph, tmp_path: Path) -> None:
    folder = to_recbole(toy_graph, tmp_path / "toy")
    assert {f.name for f in folder.iterdir()} == {
        f"toy.{s}" for s in ("inter", "user", "item", "kg", "link")
    }
    assert (folder / "toy.inter").read_text().splitlines()[:2] == [
        "user_id:token\titem_id:token\trating:float\ttimestamp:float\tdevice:token_seq",
        "ann\tpen\t4.0\t10\tapp",
    ]
    assert (folder / "toy.user").read_text().splitlines() == [
        "user_id:token\tage:float\tclub:token",
        "ann\t31.0\tx",
        "bob\t\ty",
        "cat\t8.0\t",
    ]
    assert (folder / "toy.item").read_text().splitlines()[1:3] == [
        "pen\tA pen\t0.0 1.0",
        "ink\tInk\t1.0 0.0",
    ]
    kg = (folder / "toy.kg").read_text().splitlines()
    assert kg[0].startswith("head_id:token\trelation_id:token\ttail_id:token")
    assert kg[1].startswith("item:pen\tmade_by\tbrand:acme\titem\tbrand")
    assert len(kg) == 1 + 3 + 3
    assert (folder / "toy.link").read_text().splitlines()[1] == "pen\titem:pen"


@pytest.mark.parametrize("seed", [None, 0, 1])
def test_round_trip(toy_graph: Graph, tmp_path: Path, seed: int | None) -> None:
    folder = to_recbole(toy_graph, tmp_path / "toy")
    back = from_recbole(folder, relation="rates", seed=seed)
    for name in ("user", "item"):
        assert by_id(back.tables[name]) == by_id(toy_graph.tables[name])
    assert sorted(back.tables["brand"]["id"]) == ["acme", "zeta"]
    for name in ("rates", "made_by", "follows"):
        assert rows(back, name) == rows(toy_graph, name)
        backward = back.schema.relation(name).inverse
        assert backward is not None
        assert back.num_edges(backward) == toy_graph.num_edges(name)
    assert back.schema.interaction().name == "rates"
    assert Counter(back.edge_tables["rates"]["device"]) == {"web": 3, "app": 2, "tv": 1}


def test_a_second_trip_changes_nothing(toy_graph: Graph, tmp_path: Path) -> None:
    once = from_recbole(to_recbole(toy_graph, tmp_path / "a"), relation="rates")
    twice = from_recbole(to_recbole(once, tmp_path / "b"), relation="rates")
    assert {n: once.num_nodes(n) for n in once.schema.node_names} == {
        n: twice.num_nodes(n) for n in twice.schema.node_names
    }
    for relation in once.schema.relations:
        assert rows(once, relation.name) == rows(twice, relation.name)


def write(folder: Path, **files: str) -> Path:
    for suffix, text in files.items():
        (folder / f"d.{suffix}").write_text(text)
    return folder


FOREIGN = {
    "inter": "user_id:token\titem_id:token\trating:float\ttimestamp:float\n"
    "1\t7\t3\t881250949\n1\t8\t4\t881250950\n2\t7\t5\t9e8\n",
    "item": "item_id:token\tmovie_title:token_seq\tclass:token_seq\trelease_year:token\n"
    '7\tToy Story\tComedy Animation\t1995\n8\t"Heat"\tAction\t1995\n9\tAlone\tAction\t\n',
    "kg": "head_id:token\trelation_id:token\ttail_id:token\n"
    "m.1\tfilm.actor\tm.9\nm.2\tfilm.actor\tm.9\nm.9\tpeople.wife\tm.8\n",
    "link": "item_id:token\tentity_id:token\n7\tm.1\n8\tm.2\n9\tm.2\n",
}


def test_foreign_files_by_hand(tmp_path: Path) -> None:
    graph = from_recbole(write(tmp_path, **FOREIGN), explode=["class"])
    assert {n: graph.num_nodes(n) for n in graph.schema.node_names} == {
        "user": 2,
        "item": 3,
        "class": 3,
        "entity": 2,
    }
    assert rows(graph, "interaction") == Counter(
        [("1", "7", 881250949, 3.0), ("1", "8", 881250950, 4.0), ("2", "7", 900000000, 5.0)]
    )
    assert rows(graph, "item_class") == Counter(
        [("7", "Comedy"), ("7", "Animation"), ("8", "Action"), ("9", "Action")]
    )
    # m.1 is item 7, m.2 is both 8 and 9; m.9 and m.8 are entities.
    assert rows(graph, "film.actor") == Counter([("7", "m.9"), ("8", "m.9"), ("9", "m.9")])
    assert rows(graph, "people.wife") == Counter([("m.9", "m.8")])
    assert graph.title(graph.node_id("item", "8")) == '"Heat"'  # quotes are plain text
    assert graph.schema.node("item").columns == {
        "movie_title": "text",
        "release_year": "category",
    }


def test_interactions_alone_are_enough(tmp_path: Path) -> None:
    graph = from_recbole(write(tmp_path, inter=FOREIGN["inter"]))
    assert graph.num_nodes("item") == 2
    assert graph.num_edges("interaction") == 3


def test_texts_cannot_break_a_line(tmp_path: Path) -> None:
    text = FOREIGN | {"item": "item_id:token\tname:token_seq\n7\tx\n8\ty\n"}
    graph = from_recbole(write(tmp_path, **text))
    spoilt = graph.tables["item"].with_columns(name=pl.lit("a\tb\nc"))
    graph = type(graph)(**{**vars(graph), "tables": {**graph.tables, "item": spoilt}})
    back = from_recbole(to_recbole(graph, tmp_path / "out"))
    assert set(back.tables["item"]["name"]) == {"a b c"}


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"item": FOREIGN["item"]}, "one .inter file, got none"),
        ({"inter": "user_id\titem_id\n1\t2\n"}, r"d.inter:1: .*name:type.*user_id"),
        ({"inter": "user_id:token\titem_id:long\n1\t2\n"}, "item_id:long"),
        ({"inter": "user_id:token\trating:float\n1\t2\n"}, "two fields of type token"),
        ({"inter": ""}, "d.inter"),
        ({"inter": "user_id:token\titem_id:token\n1\t2\t3\n"}, "d.inter"),
    ],
)
def test_bad_files_are_told(tmp_path: Path, files: dict[str, str], message: str) -> None:
    with pytest.raises(GraphRecError, match=message):
        from_recbole(write(tmp_path, **files))


def test_an_unknown_field_is_told(tmp_path: Path) -> None:
    with pytest.raises(GraphRecError, match="did you mean 'class'"):
        from_recbole(write(tmp_path, **FOREIGN), explode=["clas"])


def test_other_files_are_not_overwritten(toy_graph: Graph, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(GraphRecError, match="other files"):
        to_recbole(toy_graph, tmp_path)
    assert (tmp_path / "thesis.txt").exists()


def test_a_part_of_the_edges_keeps_their_columns(toy_graph: Graph, tmp_path: Path) -> None:
    folder = to_recbole(keep_edges(toy_graph, torch.arange(12) >= 3), tmp_path / "toy")
    lines = (folder / "toy.inter").read_text().splitlines()[1:]
    assert lines == ["bob\tpen\t1.0\t20\ttv", "bob\tink\t2.0\t20\tapp", "bob\tmug\t5.0\t50\tweb"]


HEAD = "user_id:token\titem_id:token\ttimestamp:float\n"


def test_a_given_split_becomes_a_column(tmp_path: Path) -> None:
    """Case 14, RecBole#1408: `benchmark_filename` names the parts of one data set."""
    for place, part in enumerate(("train", "valid", "test")):
        rows = "".join(f"{user}\t{10 * place + user}\t{place}\n" for user in range(3 - place))
        (tmp_path / f"d.{part}.inter").write_text(HEAD + rows)
    (tmp_path / "d.item").write_text("item_id:token\tclass:token\n0\tx\n10\ty\n")
    card = load_card("recbole")
    for graph in (from_recbole(tmp_path), build_card(card, tmp_path)):
        name = graph.schema.interaction().name
        assert Counter(graph.edge_tables[name]["split"]) == {"train": 3, "valid": 2, "test": 1}
        cut = split(graph, "fixed")
        assert (cut.train.num_edges(name), len(cut.valid), len(cut.test)) == (3, 2, 1)
        assert [graph.raw_id(i) for i in cut.test.target.tolist()] == ["20"]


def test_interactions_without_parts_have_no_such_column(tmp_path: Path) -> None:
    (tmp_path / "d.inter").write_text(HEAD + "1\t2\t3\n")
    assert build_card(load_card("recbole"), tmp_path).edge_tables == {}


@pytest.mark.parametrize("other", ["d.inter", "other.train.inter", "d.all.inter"])
def test_parts_beside_something_else_are_refused(tmp_path: Path, other: str) -> None:
    for name in ("d.train.inter", "d.test.inter", other):
        (tmp_path / name).write_text(HEAD + "1\t2\t3\n")
    for read in (from_recbole, lambda folder: build_card(load_card("recbole"), folder)):
        with pytest.raises(GraphRecError, match="one data set, whole or in parts, got d"):
            read(tmp_path)

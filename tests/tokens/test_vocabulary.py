"""Vocabularies: saved without the data set, matched by raw id."""

from pathlib import Path

import polars as pl
import pytest
import torch

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.graph.graph import Graph
from graphrec_pt.tokens.kind import Special
from graphrec_pt.tokens.vocabulary import Vocabulary


@pytest.fixture(scope="module")
def vocabulary(shop: Graph) -> Vocabulary:
    return Vocabulary.of(shop)


def test_ids_are_those_of_the_graph(shop: Graph, vocabulary: Vocabulary) -> None:
    assert vocabulary.num_nodes == shop.num_nodes() == 14
    assert vocabulary.relation_names == shop.schema.relation_names
    for node in range(14):
        assert vocabulary.raw_id(node) == (shop.type_of(node), shop.raw_id(node))
    assert vocabulary.node_ids("item", ["cup", "?", "pen"]).tolist() == [5, -1, 3]
    assert vocabulary.node_ids("item", []).tolist() == []
    with pytest.raises(GraphRecError, match="a node below 14, got 14"):
        vocabulary.raw_id(14)


def test_saved_and_loaded(vocabulary: Vocabulary, tmp_path: Path) -> None:
    path = tmp_path / "model" / "vocabulary.parquet"
    vocabulary.save(path)
    again = Vocabulary.load(path)
    assert again.node_types == vocabulary.node_types
    assert again.relations == vocabulary.relations
    assert again.nodes.equals(vocabulary.nodes)
    assert [p.name for p in path.parent.iterdir()] == ["vocabulary.parquet"]
    table = pl.read_parquet(path)  # anyone can read it
    assert table.filter(kind="special")["name"].to_list() == [s.name for s in Special]
    assert table.filter(kind="node", type="brand")["name"].to_list() == ["acme", "zeta"]


def test_empty_types_and_no_relations(tmp_path: Path) -> None:
    nodes = pl.DataFrame(schema={"type": pl.String, "id": pl.String})
    bare = Vocabulary(("user",), (), nodes)
    bare.save(tmp_path / "v.parquet")
    again = Vocabulary.load(tmp_path / "v.parquet")
    assert (again.node_types, again.relations, again.num_nodes) == (("user",), (), 0)
    assert str(bare.match(again)) == "user 0 of 0, relations 0 of 0"


def test_match_by_raw_id(vocabulary: Vocabulary) -> None:
    theirs = Vocabulary(
        ("item", "user"),
        (("rates", "user", "item"), ("made_by", "item", "maker"), ("likes", "user", "item")),
        pl.DataFrame(
            {"type": ["item", "item", "item", "user"], "id": ["mug", "new", "ann", "ann"]}
        ),
    )
    found = theirs.match(vocabulary)
    assert found.nodes.tolist() == [6, -1, -1, 0]  # ann is no item
    assert found.relations.tolist() == [0, -1, -1]  # made_by leads elsewhere
    assert found.counts == {"item": (1, 3), "user": (1, 1)}
    assert str(found) == "item 1 of 3, user 1 of 1, relations 1 of 3"
    back = vocabulary.match(theirs)
    assert torch.equal(back.nodes[found.nodes[[0, 3]]], torch.tensor([0, 3]))


def test_files_that_are_no_vocabulary(vocabulary: Vocabulary, tmp_path: Path) -> None:
    with pytest.raises(GraphRecError, match="a saved vocabulary"):
        Vocabulary.load(tmp_path / "none.parquet")
    whole = tmp_path / "v.parquet"
    vocabulary.save(whole)
    (tmp_path / "cut.parquet").write_bytes(whole.read_bytes()[:-40])
    with pytest.raises(GraphRecError, match=r"cut.parquet: expected a saved vocabulary"):
        Vocabulary.load(tmp_path / "cut.parquet")
    pl.DataFrame({"kind": ["node"]}).write_parquet(tmp_path / "other.parquet")
    with pytest.raises(GraphRecError, match="vocabulary format 1, got none"):
        Vocabulary.load(tmp_path / "other.parquet")
    table = pl.read_parquet(whole).with_columns(pl.col("name").replace("MASK", "HIDE"))
    table.write_parquet(tmp_path / "old.parquet", metadata={"graphrec_pt.vocabulary": "1"})
    with pytest.raises(GraphRecError, match=r"specials PAD, MASK, .* got PAD, HIDE"):
        Vocabulary.load(tmp_path / "old.parquet")


def test_a_failed_save_leaves_the_old_file(vocabulary: Vocabulary, tmp_path: Path) -> None:
    path = tmp_path / "v.parquet"
    vocabulary.save(path)
    before = path.read_bytes()
    broken = Vocabulary(("user",), (), pl.DataFrame({"type": ["user"]}))
    with pytest.raises(pl.exceptions.PolarsError):
        broken.save(path)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["v.parquet"]

"""`link:` of a card: mention edges from the names that texts hold."""

from typing import Any

import polars as pl
import pytest

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.data.build import build
from graphrec_pt.graph.graph import Graph

pytest.importorskip("ahocorasick")

ITEMS = {
    "id": ["m1", "m2", "m3", "m4", "m5"],
    "title": ["The Lion King (1994)", "Heat (1995)", "Heat (1986)", "It (2017)", "Lion (2016)"],
    "alias": ["Der König der Löwen|Lion-King", None, None, None, None],
}
TURNS = {
    "id": ["t1", "t2", "t3", "t4", "t5"],
    "text": [
        "I loved the LION king, and Lion too!",
        "der könig der löwen? heat? it?",
        None,
        "lions and heating: nothing",
        "lion king, lion king: twice",
    ],
}


def linked(**options: Any) -> Graph:
    link = {"text": "turn.text", "finds": "item.title", "without": r"\s*\(\d{4}\)$", **options}
    columns = {"title": "text", "alias": "text"}
    plan = {
        "nodes": {
            "turn": {"table": "turns", "columns": {"text": "text"}},
            "item": {"table": "items", "columns": columns, "title": "title"},
        },
        "edges": {"next": {"table": "next", "source": "turn.a", "target": "turn.b"}},
        "link": {"mentions": link},
    }
    following = pl.DataFrame({"a": ["t2"], "b": ["t1"]})
    tables = {"turns": pl.DataFrame(TURNS), "items": pl.DataFrame(ITEMS), "next": following}
    return build(plan, tables)


def pairs(graph: Graph, relation: str = "mentions") -> list[tuple[str, str]]:
    edges = graph.edges(relation)
    ends = zip(edges.source.tolist(), edges.target.tolist(), strict=True)
    return sorted((graph.raw_id(a), graph.raw_id(b)) for a, b in ends)


def test_texts_are_linked_to_what_they_name() -> None:
    graph = linked()
    assert pairs(graph) == [("t1", "m1"), ("t1", "m5"), ("t5", "m5")]
    assert pairs(graph, "rev_mentions") == [("m1", "t1"), ("m5", "t1"), ("m5", "t5")]
    assert graph.schema.relation("mentions").interaction is False
    notes = graph.provenance["notes"]
    assert any(
        "1 name of several nodes of type 'item' ('heat') link to nothing" in n for n in notes
    )
    assert any("1 name shorter than 4 letters ('it') link to nothing" in n for n in notes)


def test_aliases_short_names_and_names_of_several() -> None:
    graph = linked(also=["alias"], split="|", shortest=2, ambiguous="all", inverse="named_by")
    assert pairs(graph) == [
        ("t1", "m1"),
        ("t1", "m5"),
        ("t2", "m1"),
        ("t2", "m2"),
        ("t2", "m3"),
        ("t2", "m4"),
        ("t5", "m1"),
    ]
    assert "named_by" in graph.schema.relation_names


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"finds": "item.name"},
            "expected type.column of a node table, got 'item.name'",
        ),
        ({"text": "turns.text"}, "link.mentions: expected a node type, got 'turns'"),
        (
            {"also": ["aliases"]},
            "expected type.column of a node table, got 'item.alias",
        ),
        ({"without": "("}, "link.mentions.without: expected a regular expression, got '('"),
    ],
)
def test_one_line_for_a_wrong_link(options: Any, message: str) -> None:
    with pytest.raises(GraphRecError) as raised:
        linked(**options)
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)

"""Nodes: ids that never meet, k-cores that empty a graph, numbers written for people."""

from typing import Any

import polars as pl
import pytest

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.data.build import build
from graphrec_pt.data.nodes import number_hint
from graphrec_pt.graph.graph import Graph

BUYS = {"table": "t", "source": "user.u", "target": "item.i", "interaction": True}


def made(ids: list[Any], known: list[Any], unknown: str = "add", **plan: Any) -> Graph:
    items = {"table": "items", "id": "id", "unknown": unknown}
    nodes = {"user": {}, "item": items}
    log = {"u": ["a"] * len(ids), "i": ids}
    return build(
        {"nodes": nodes, "edges": {"buys": BUYS}, **plan}, {"t": log, "items": {"id": known}}
    )


@pytest.mark.parametrize(
    ("ids", "known", "got"),
    [
        (["10.0", "11.0"], ["10", "11"], "'10.0' in 'i' and '10' there"),
        (["10", "11"], ["10.0", "11.0"], "'10' in 'i' and '10.0' there"),
        ([10, 11], ["10.0", "11.0"], "'10' in 'i' and '10.0' there"),
        (["007", "8"], ["7", "08"], "and '"),
        (["x ", "y "], ["x", "y"], "'x ' in 'i' and 'x' there"),
    ],
)
def test_ids_that_never_meet_are_refused(ids: list[Any], known: list[Any], got: str) -> None:
    with pytest.raises(GraphRecError, match=r"item ids written as in table 'items', got .*no id m"):
        made(ids, known)
    with pytest.raises(GraphRecError) as caught:
        made(ids, known)
    assert got in str(caught.value)
    with pytest.raises(GraphRecError, match="item ids that table 'items' knows, got 2 rows"):
        made(ids, known, unknown="error")


def test_ids_that_never_meet_between_relations_are_refused() -> None:
    nodes: dict[str, Any] = {"user": {}, "item": {}}
    edges = {"buys": BUYS, "sees": BUYS | {"table": "s"}}
    frames = {"t": {"u": ["a"], "i": ["1.0"]}, "s": {"u": ["a"], "i": ["1"]}}
    with pytest.raises(GraphRecError, match=r"edges\.sees: expected item ids written as in table"):
        build({"nodes": nodes, "edges": edges}, frames)


def test_a_table_that_knows_none_of_the_ids_is_told() -> None:
    told = made(["x", "y"], ["p", "q"]).provenance["notes"]
    assert told == [
        "edges.buys: none of 2 item ids is known to table 'items' ('x' here, 'p' there); "
        "they are added without columns"
    ]
    assert made(["x", "p"], ["p", "q"]).provenance["notes"] == []
    assert made([1, 2], [3, 4]).provenance["notes"] != []


def test_interactions_that_are_all_unknown_are_refused() -> None:
    with pytest.raises(GraphRecError, match=r"buys: expected edges, got none; .*unknown: drop"):
        made(["x"], ["p"], unknown="drop")


def test_ids_apart_by_spaces_are_told() -> None:
    assert "user" not in str(made(["x ", "x"], ["x"]).provenance["notes"])
    assert (
        "1 id like another but for spaces around it ('x ')"
        in (made(["x ", "x"], ["x"]).provenance["notes"][0])
    )


def test_lists_written_as_text_are_told() -> None:
    graph = made(["['p', 'q']"], ["['p', 'q']"])
    assert "item: 1 id written like a list or a record" in graph.provenance["notes"][0]


def test_a_core_tells_what_it_removes_and_refuses_to_remove_all() -> None:
    nodes: dict[str, Any] = {"user": {}, "item": {}}
    log = {"u": [1, 1, 2, 2, 3], "i": [1, 2, 1, 2, 3]}

    def core(least: int) -> Graph:
        of = {"relation": "buys", "source": least, "target": least}
        return build({"nodes": nodes, "edges": {"buys": BUYS}, "core": of}, {"t": log})

    assert core(2).provenance["notes"] == [
        "core: 1 of 3 users and 1 of 3 items left out, for nodes need "
        "at least 2 and 2 edges of 'buys'"
    ]
    with pytest.raises(GraphRecError, match=r"core: .* at least 3 and 3 edges .*`core\.source`"):
        core(3)


def test_rows_of_nodes_that_are_left_out_are_told() -> None:
    items = {"table": "items", "id": "id", "unknown": "add", "duplicates": "first"}
    items["columns"] = {"title": "text"}
    plan = {"nodes": {"user": {}, "item": items}, "edges": {"buys": BUYS}}
    frames = {
        "t": {"u": [1], "i": ["a"]},
        "items": {"id": ["a", "a", "a", None], "title": list("xxyz")},
    }
    told = build(plan, frames).provenance["notes"]
    assert "nodes.item: 1 row of table 'items' without 'id'" in told
    differing = "1 row of table 'items' left out for an earlier one of that 'id'"
    assert f"nodes.item: {differing}" in told


def test_numbers_that_are_not_finite_count_as_empty() -> None:
    items = {"table": "m", "id": "i", "columns": {"p": "number"}}
    frame = {"m": {"i": [1, 2, 3], "p": [1.0, float("nan"), float("inf")]}}
    graph = build({"nodes": {"item": items}, "edges": {}}, frame)
    assert sorted(graph.tables["item"]["p"].drop_nulls()) == [1.0]
    assert graph.provenance["notes"] == ["nodes.item.p: 2 values not finite; they count as empty"]


@pytest.mark.parametrize(
    ("texts", "numbers"),
    [
        (["12,99 €", "1.000,00 €"], [12.99, 1000.0]),
        (["$1,234.50", "$5"], [1234.5, 5.0]),
        (["USD 5.00"], [5.0]),
        (["1 234,5"], [1234.5]),
        (["-3,5", "0,25"], [-3.5, 0.25]),
        (["5 o'clock"], [5.0]),
    ],
)
def test_the_hint_for_numbers_of_people_works(texts: list[str], numbers: list[float]) -> None:
    hint = number_hint("p", pl.Series(texts))
    sql = hint.partition('{p: "')[2].partition('"}')[0]
    frame = pl.DataFrame({"p": texts}).select(pl.sql_expr(sql).alias("p"))
    assert frame["p"].to_list() == numbers


def test_what_is_no_number_gets_no_such_hint() -> None:
    assert number_hint("p", pl.Series(["cheap", "12,99"])) == "kind `category` or `text`"

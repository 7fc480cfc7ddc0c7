"""Edge rows: flags, weights, lists and gaps are read as meant, or told with their row."""

from typing import Any

import polars as pl
import pytest

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.data.build import build
from graphrec_pt.graph.graph import Graph

ENDS = {"table": "t", "source": "user.u", "target": "item.i", "interaction": True}


def made(rows: dict[str, Any], **edge: Any) -> Graph:
    plan = {"nodes": {"user": {}, "item": {}}, "edges": {"buys": ENDS | edge}}
    return build(plan, {"t": rows})


def flagged(values: list[Any]) -> Graph:
    flags = {"table": "m", "source": "item.i", "target": "trait", "flags": {"New": "n"}}
    plan = {"nodes": {"item": {"table": "m", "id": "i"}, "trait": {}}, "edges": {"is": flags}}
    return build(plan, {"m": {"i": range(len(values)), "n": values}})


@pytest.mark.parametrize(
    ("values", "marked"),
    [
        (["TRUE", "FALSE", "True", "Yes", "no", " y ", "F", "", None], 4),
        ([1, 0, 1, None], 2),
        ([1.0, 0.0], 1),
        ([True, False, None], 1),
    ],
)
def test_flags_in_every_spelling(values: list[Any], marked: int) -> None:
    assert flagged(values).num_edges("is") == marked


def test_flags_that_are_neither_are_refused_and_none_is_told() -> None:
    with pytest.raises(GraphRecError, match=r"true or false in 'n', got 1 row .*m row 2 'maybe'"):
        flagged(["TRUE", "maybe"])
    assert flagged([0, 0]).provenance["notes"] == ["edges.is: no edges; `flags` (n) leaves no row"]


def test_weights_that_walks_cannot_take_are_told_with_their_row() -> None:
    graph = made({"u": [1, 2, 3, 4], "i": "abcd", "w": [1.0, -2.0, 0.0, -0.5]}, weight="w")
    assert graph.provenance["notes"] == [
        "edges.buys.weight: 2 rows with a negative weight (t row 2 '-2.0', t row 4 '-0.5'); "
        "weighted walks refuse them",
        "edges.buys.weight: 1 row with a zero weight (t row 3 '0.0'); walks skip them",
    ]


@pytest.mark.parametrize("weight", [float("nan"), float("inf"), -float("inf"), 1e300, None, "x"])
def test_weights_that_are_no_numbers_are_refused_with_their_row(weight: Any) -> None:
    values = ["1", weight] if isinstance(weight, str) else [1.0, weight]
    with pytest.raises(GraphRecError, match=r"a finite number as weight, got 1 row .*t row 2"):
        made({"u": [1, 2], "i": ["a", "b"], "w": values}, weight="w")


def test_gaps_in_lists_are_located_and_empty_lists_told() -> None:
    with pytest.raises(GraphRecError, match=r"a target id, got 1 row .*t row 1 \['x', None\]"):
        made({"u": ["a", "b"], "i": [["x", None], ["y"]]})
    graph = made({"u": ["a", "b", "c"], "i": [["x"], [], ["y", "z"]]})
    assert graph.num_edges("buys") == 3
    assert graph.provenance["notes"] == [
        "edges.buys: 1 row without any target in 'i' (t row 2 []); no edge comes of them"
    ]
    split = made({"u": [1, 2, 3], "i": ["a|b", "", "||"]}, split="|")
    assert split.num_edges("buys") == 2
    assert "2 rows without any target in 'i'" in split.provenance["notes"][0]


def test_rows_that_where_leaves_out_are_not_blamed() -> None:
    rows = {"u": [None, "a", None], "i": ["x", "y", "z"], "n": [1, 2, 3]}
    with pytest.raises(GraphRecError) as caught:
        made(rows, where="n > 1")
    assert "got 1 row without (t row 3 (an empty cell))" in str(caught.value)


def test_an_empty_text_is_no_id() -> None:
    with pytest.raises(GraphRecError, match=r"a source id, got 1 row without .t row 2"):
        made({"u": ["a", ""], "i": ["x", "y"]})


def test_numbers_of_edges_that_do_not_read_are_refused() -> None:
    rows = {"u": [1, 2], "i": ["a", "b"], "n": ["1.5", "much"]}
    with pytest.raises(GraphRecError, match=r"a number in 'n', got 1 row .*t row 2 'much'"):
        made(rows, columns={"n": "number"})


def test_all_that_is_wrong_is_told_at_once() -> None:
    plan = {
        "nodes": {"user": {}, "item": {"table": "m", "id": "i", "columns": {"p": "number"}}},
        "edges": {"buys": ENDS | {"time": "t", "weight": "w"}},
    }
    log = {"u": ["a", None, "b"], "i": ["x", "y", "q"], "t": ["1", "2", "3"], "w": [1.0, 1.0, 1.0]}
    log["t"][0] = "soon"
    items = {"i": ["x", "x", "y"], "p": ["1", "1", "12,99 €"]}
    with pytest.raises(GraphRecError) as caught:
        build(plan, {"t": log, "m": items})
    said = str(caught.value).splitlines()
    assert [line.partition(": expected ")[2].partition(",")[0] for line in said] == [
        "a source id",
        "a time that reads",
        "item ids that table 'm' knows",
        "one row per i in table 'm'",
        "numbers",
    ]
    assert "t row 3 'q'" in said[2]


def test_every_missing_column_and_table_is_told_at_once() -> None:
    plan = {
        "nodes": {"user": {"table": "u", "id": "id"}, "item": {}},
        "edges": {"a": ENDS | {"time": "when"}, "b": ENDS | {"table": "gone"}},
    }
    with pytest.raises(GraphRecError) as caught:
        build(plan, {"t": {"u": [1], "item": [2]}, "u": {"ID": [1]}})
    assert len(str(caught.value).splitlines()) == 4


@pytest.mark.parametrize("wide", [pl.UInt64, pl.Int128])
def test_ids_beyond_64_bits_are_texts(wide: Any) -> None:
    graph = made({"u": pl.Series([2**63 + 1, 5], dtype=wide), "i": ["x", "y"]})
    assert sorted(graph.tables["user"]["id"]) == ["5", str(2**63 + 1)]

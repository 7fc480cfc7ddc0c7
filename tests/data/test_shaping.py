import datetime
from typing import Any

import pandas as pd
import polars as pl
import pytest

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.data.build import build
from graphrec_pt.data.card import Lookup
from graphrec_pt.data.shaping import look_up
from graphrec_pt.data.tables import Table, frame_table

SALES = pl.LazyFrame({"item": [3, 1, 2, 3], "n": [10, 20, 30, 40]})
ITEMS = pl.LazyFrame({"code": ["1", "3", "3"], "title": ["one", "three", "again"]})


def tables(items: pl.LazyFrame = ITEMS) -> dict[str, Table]:
    return {"items": frame_table("items", items)}


def test_rows_keep_their_order_and_the_first_match_counts() -> None:
    plan = Lookup(column="item", table="items", key="code", value="title")
    found = look_up("t", SALES, {"name": plan}, tables()).collect()
    assert found.columns == ["item", "n", "name"]
    assert found["name"].to_list() == ["three", "one", None, "three"]
    assert found["n"].to_list() == [10, 20, 30, 40]


def test_defaults_are_columns_of_the_same_name() -> None:
    plan = Lookup(column="item", table="items")
    items = ITEMS.rename({"code": "item"})
    assert look_up("t", SALES, {"title": plan}, tables(items)).collect()["title"][1] == "one"


def test_an_absent_table_gives_nulls() -> None:
    plan = Lookup(column="item", table="items")
    assert look_up("t", SALES, {"title": plan}, {}).collect()["title"].null_count() == 4


def test_a_column_may_replace_itself() -> None:
    plan = Lookup(column="item", table="items", key="code", value="title")
    found = look_up("t", SALES, {"item": plan}, tables()).collect()
    assert found["item"].to_list() == ["three", "one", None, "three"]


@pytest.mark.parametrize(
    ("plan", "told"),
    [
        (Lookup(column="itm", table="items"), r"t.lookup.x: expected a column 'itm'.*'item'\?"),
        (Lookup(column="item", table="items"), r"t.lookup.x in table 'items': .* 'item'"),
        (Lookup(column="item", table="items", key="code"), r"in table 'items': .* 'x'"),
    ],
)
def test_missing_columns_are_named(plan: Lookup, told: str) -> None:
    with pytest.raises(GraphRecError, match=told):
        look_up("t", SALES, {"x": plan}, tables())


@pytest.mark.parametrize(
    ("ids", "told"),
    [
        (["1.0", "3.0"], "('1.0' here, '1' there); every value is empty, try `types: {item: int}`"),
        ([" 1", "x"], "(' 1' here, '1' there); every value is empty, try `derive: {item: TRIM(it"),
        (["x", "y"], "('x' here, '1' there); every value is empty, try another `column` or `key`"),
        (["x", "3"], ""),
    ],
)
def test_a_lookup_without_any_match_is_told(ids: list[str], told: str) -> None:
    plan, said = Lookup(column="item", table="items", key="code", value="title"), list[str]()
    sales = pl.LazyFrame({"item": ids})
    look_up("tables.sales", sales, {"name": plan}, tables(), said.append)
    assert len(said) == bool(told)
    assert all(line.startswith("tables.sales.lookup.name: no 'item' is a 'code'") for line in said)
    assert told in "".join(said)


def test_a_lookup_in_or_of_an_empty_table_is_no_mistake() -> None:
    plan = Lookup(column="item", table="items", key="code", value="title")
    for sales, items in ((SALES.head(0), ITEMS), (SALES, ITEMS.head(0))):
        said: list[str] = []
        found = look_up("t", sales, {"name": plan}, tables(items), said.append).collect()
        assert said == []
        assert found["name"].null_count() == len(found)


ROWS: dict[str, Any] = {"u": [1, 1, 2], "i": ["a", "b", "a"], "t": [1, 2, 3]}


def plan(node: dict[str, Any] | None = None, **edge: Any) -> dict[str, Any]:
    ends = {"table": "x", "source": "user.u", "target": "item.i"}
    return {
        "nodes": {"user": node or {}, "item": {}},
        "edges": {"buys": ends | {"time": "t", "interaction": True} | edge},
    }


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (None, "table 'x': expected a frame, got None"),
        ("rows.csv", "table 'x': expected a frame, got 'rows.csv'; try `polars.scan_csv"),
        (5, "table 'x': expected an Arrow frame, got int"),
        ({"u": [1], "i": [1, 2], "t": [1]}, "table 'x': expected an Arrow frame"),
        (
            pd.DataFrame(ROWS | {"u": [1, "b", 2]}),
            "values of one type in column 'u', got int and str",
        ),
        (pd.DataFrame(ROWS | {"u": [1, None, 2]}), r"ids in 'u', got the type Float64; .*Int64"),
        (ROWS | {"u": [[1], [2], [3]]}, "ids in 'u', got the type List"),
        (ROWS | {"i": [[1.0], [2.0], [3.0]]}, "ids in 'i', got the type Float64"),
        (ROWS | {"t": [datetime.timedelta(1)] * 3}, "times in 't', got the type Duration"),
        (ROWS | {"t": [1.0, float("nan"), 2.0]}, "a time that reads, got 1 row"),
        (pl.scan_csv("/no/such/file.csv"), "table 'x': expected readable rows, got No such file"),
    ],
)
def test_frames(frame: Any, message: str) -> None:
    with pytest.raises(GraphRecError, match=message):
        build(plan(), {"x": frame})


@pytest.mark.parametrize(
    ("edge", "message"),
    [
        ({"where": "t >< 3"}, "edges.buys.where: expected a SQL condition"),
        ({"where": "when > 3"}, "edges.buys.where: expected a SQL condition"),
        ({"where": "t + 3"}, "edges.buys.where: expected a SQL condition"),
        ({"where": "other > 3"}, "unable to find column .*; try one on columns u, i, t"),
        ({"quantiles": 1}, "plan edges.buys.quantiles: expected greater than or equal to 2"),
        ({"bins": [1.0]}, "edges.buys: expected a number, got 3 rows"),
        ({"weight": "w"}, "a finite number as weight, got 1 row .*x row 2 'NaN'"),
        ({"columns": {"event": "text"}, "event": "item.i"}, "names other than 'event'"),
    ],
)
def test_edges(edge: dict[str, Any], message: str) -> None:
    with pytest.raises(GraphRecError, match=message):
        build(plan(**edge), {"x": ROWS | {"w": [1.0, float("nan"), 2.0]}})


@pytest.mark.parametrize(
    ("kind", "values", "message"),
    [
        ("vector", [[1.0, 2.0], [1.0]], "vectors of one length, got lengths 1, 2"),
        ("vector", [[1.0, None], [1.0, 2.0]], "lists of numbers, got a list with a gap"),
        ("vector", [["a"], ["b"]], "lists of numbers"),
        ("vector", ["1 2", "3 4"], "lists of numbers"),
        ("category", [["a"], ["b"]], "one category a node, got the type List"),
        ("text", [["a"], ["b"]], "one text a node"),
        ("number", ["1", "x"], "numbers, got 1 row"),
    ],
)
def test_columns(kind: str, values: list[Any], message: str) -> None:
    node = {"table": "users", "id": "id", "columns": {"v": kind}}
    with pytest.raises(GraphRecError, match=f"nodes.user.v: expected {message}"):
        build(plan(node), {"x": ROWS, "users": {"id": [1, 2], "v": values}})


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ("plan", "plan: expected options and their values"),
        ({"nodes": {"a/b": {}}, "edges": {}}, "nodes: expected names without .*, got 'a/b'"),
        ({"nodes": {"": {}}, "edges": {}}, "nodes: expected names without .*, got ''"),
        ({"nodes": {"a": {"columns": {"id": "text"}}}, "edges": {}}, "names other than 'id'"),
        ({"nodes": {"a": {"title": "name"}}, "edges": {}}, "nodes.a.title: expected a column"),
    ],
)
def test_plans(wrong: Any, message: str) -> None:
    with pytest.raises(GraphRecError, match=message):
        build(wrong, {"x": ROWS})
    with pytest.raises(GraphRecError, match="build: expected tables by name, got list"):
        build(plan(), [ROWS])  # type: ignore[arg-type]


def test_what_is_odd_but_fine() -> None:
    whole = build(plan(), {"x": ROWS})
    assert build(
        plan(), {"x": pl.DataFrame(ROWS, schema_overrides={"u": pl.UInt8})}
    ).fingerprint == (whole.fingerprint)
    huge = build(plan(), {"x": pl.DataFrame(ROWS | {"u": pl.Series([2**63 + 5] * 3)})})
    assert huge.tables["user"]["id"].to_list() == [str(2**63 + 5)]
    zoned = pl.Series(["2020-01-01 09:00"] * 3).str.to_datetime().dt.replace_time_zone("Asia/Tokyo")
    assert build(plan(), {"x": ROWS | {"t": zoned}}).csr.time.unique().tolist() == [1577836800]  # type: ignore[union-attr]
    before = build(plan(), {"x": ROWS | {"t": [datetime.date(1950, 1, 1)] * 3}})
    assert before.csr.time.unique().tolist() == [-631152000]  # type: ignore[union-attr]
    loops = {
        "nodes": {"user": {}},
        "edges": {"knows": {"table": "x", "source": "user.u", "target": "user.v"}},
    }
    assert build(loops, {"x": {"u": [1, 1, 2], "v": [1, 2, 1]}}).num_edges("knows") == 3
    assert (
        build(
            plan(), {"x": pl.DataFrame(schema={"u": pl.Int64, "i": pl.String, "t": pl.Int64})}
        ).num_nodes()
        == 0
    )

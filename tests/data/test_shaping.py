import polars as pl
import pytest

from graphrec_pt.core.errors import GraphRecError
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

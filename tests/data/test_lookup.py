import polars as pl
import pytest

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.data.card import Lookup
from graphrec_pt.data.lookup import look_up

SALES = pl.LazyFrame({"item": [3, 1, 2, 3], "n": [10, 20, 30, 40]})
ITEMS = pl.LazyFrame({"code": ["1", "3", "3"], "title": ["one", "three", "again"]})


def test_rows_keep_their_order_and_the_first_match_counts() -> None:
    plan = Lookup(column="item", table="items", key="code", value="title")
    found = look_up(SALES, {"name": plan}, {"items": ITEMS}).collect()
    assert found.columns == ["item", "n", "name"]
    assert found["name"].to_list() == ["three", "one", None, "three"]
    assert found["n"].to_list() == [10, 20, 30, 40]


def test_defaults_are_columns_of_the_same_name() -> None:
    plan = Lookup(column="item", table="items")
    items = ITEMS.rename({"code": "item"})
    assert look_up(SALES, {"title": plan}, {"items": items}).collect()["title"][1] == "one"


def test_an_absent_table_gives_nulls() -> None:
    plan = Lookup(column="item", table="items")
    assert look_up(SALES, {"title": plan}, {}).collect()["title"].null_count() == 4


def test_a_column_may_replace_itself() -> None:
    plan = Lookup(column="item", table="items", key="code", value="title")
    found = look_up(SALES, {"item": plan}, {"items": ITEMS}).collect()
    assert found["item"].to_list() == ["three", "one", None, "three"]


@pytest.mark.parametrize(
    ("plan", "told"),
    [
        (Lookup(column="itm", table="items"), r"lookup x: expected a column 'itm'.*'item'\?"),
        (Lookup(column="item", table="items"), r"lookup x in table 'items': .* 'item'"),
        (Lookup(column="item", table="items", key="code"), r"in table 'items': .* 'x'"),
    ],
)
def test_missing_columns_are_named(plan: Lookup, told: str) -> None:
    with pytest.raises(GraphRecError, match=told):
        look_up(SALES, {"x": plan}, {"items": ITEMS})

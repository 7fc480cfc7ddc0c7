from typing import Any

FILE = "item:token\tkinds:token_seq\tprice:float\tlook:float_seq\nA\tx y\t1.5\t0.5 1\nB\t\t\t\n"


def test_headers_give_the_types(read: Any) -> None:
    rows = read("recbole", {"a.item": FILE})["rows"]
    assert rows.columns == ["item", "kinds", "price", "look"]
    assert rows.rows() == [("A", ["x", "y"], 1.5, [0.5, 1.0]), ("B", None, None, None)]


def test_tokens_become_attributes(read: Any) -> None:
    attributes = read("recbole", {"a.item": FILE})["attributes"]
    assert attributes["attribute"].to_list() == ["kinds=x", "kinds=y"]
    none = read({"name": "recbole", "fields": []}, {"b.item": FILE})["attributes"]
    assert len(none) == 0


def test_defaults_fill_fields_that_the_file_lacks(read: Any) -> None:
    config = {"name": "recbole", "defaults": {"price": 9, "timestamp": 0}}
    rows = read(config, {"a.item": FILE})["rows"]
    assert rows["timestamp"].to_list() == [0, 0]
    assert rows["price"].to_list() == [1.5, None]

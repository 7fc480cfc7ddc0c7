from typing import Any


def test_keyed_lists(read: Any) -> None:
    lists = read("keyed_lists", {"a.json": '{"1": [5, "x"], "2": [], "3": [5]}'})["lists"]
    assert lists.rows() == [("1", "5", 0), ("1", "x", 1), ("3", "5", 0)]


def test_named_maps_are_tables(read: Any) -> None:
    maps = read("json_object", {"a.json": '{"to": {"a": 1, "b": null}, "back": {"1": "a"}}'})
    assert maps["to"].rows() == [("a", "1"), ("b", None)]
    assert maps["back"].rows() == [("1", "a")]


def test_a_flat_map_is_one_table(read: Any) -> None:
    assert read("json_object", {"a.json": '{"a": 1}'})["map"].rows() == [("a", "1")]


def test_records_of_objects_and_lists(read: Any) -> None:
    config = {"name": "json_records", "fields": ["id", "t"]}
    keyed = read(config, {"a.json": '{"9": {"t": ["x", "y"]}, "8": {"t": ""}}'})
    assert keyed["records"].rows() == [("9", "x y"), ("8", None)]
    listed = read(config, {"b.json": '[{"id": 3, "t": "z", "more": 1}]'})
    assert listed["records"].rows() == [("3", "z")]

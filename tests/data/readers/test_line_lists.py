from typing import Any


def test_line_numbers_are_ids(read: Any) -> None:
    tables = read("line_lists", {"a.txt": "4 5\n\n4\n"})
    assert tables["lists"].rows() == [("0", "4", 0), ("0", "5", 1), ("2", "4", 0)]
    assert tables["names"].rows() == [("0", "4 5"), ("1", ""), ("2", "4")]


def test_counting_from_one(read: Any) -> None:
    tables = read({"name": "line_lists", "first": 1}, {"a.txt": "x y\n"})
    assert tables["names"].rows() == [("1", "x y")]

from typing import Any


def test_line_numbers_are_ids(read: Any) -> None:
    tables = read("line_lists", {"a.txt": "4 5\n\n4\n"})
    assert tables["lists"].rows() == [("0", "4", 0), ("0", "5", 1), ("2", "4", 0)]
    assert tables["names"].rows() == [("0", "4 5"), ("1", ""), ("2", "4")]


def test_counting_from_one(read: Any) -> None:
    tables = read({"name": "line_lists", "first": 1}, {"a.txt": "x y\n"})
    assert tables["names"].rows() == [("1", "x y")]


def test_one_row_per_interaction_in_order(read: Any) -> None:
    tables = read("sequences", {"a.txt": "7 3 3 1\n8 2\n"})
    assert tables["sequences"].rows() == [
        ("7", "3", 0),
        ("7", "3", 1),
        ("7", "1", 2),
        ("8", "2", 0),
    ]


def test_other_separators_and_windows_lines(read: Any) -> None:
    tables = read({"name": "sequences", "separator": ","}, {"a.txt": "a,b,c\r\n"})
    assert tables["sequences"].rows() == [("a", "b", 0), ("a", "c", 1)]

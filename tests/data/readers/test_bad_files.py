"""What every text reader does with a file that is not what it should be: one line, with a place."""

import gzip
from typing import Any

import pytest

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.data.reader import reader

FILES: dict[str, tuple[Any, str, str]] = {  # reader → config, file name, good content
    "category_paths": ({"name": "category_paths", "column": "a"}, "a.csv", "a\nb > c\n"),
    "sequences": ("sequences", "a.txt", "1 2 3\n2 4\n"),
    "keyed_lists": ("keyed_lists", "a.json", '{"1": [2]}'),
    "json_object": ("json_object", "a.json", '{"m": {"1": 2}}'),
    "json_records": ({"name": "json_records", "fields": ["a"]}, "a.json", '[{"a": 1}]'),
    "line_lists": ("line_lists", "a.txt", "1 2\n"),
    "loose_json_lines": ({"name": "loose_json_lines", "fields": {"a": "a"}}, "a.json", "{'a': 1}"),
    "matrix": ("matrix", "a.npz", ""),
    "mind_behaviors": (
        "mind_behaviors",
        "behaviors.tsv",
        "1\tU1\t11/10/2019 3:00:30 PM\tN1\tN2-1\n",
    ),
    "mind_news": ("mind_news", "news.tsv", "N1\ta\tb\tT\tA\tu\t[]\t[]\n"),
    "nested_lists": ("nested_lists", "a.txt", "[[1, 2]]"),
    "opendialkg": ("opendialkg", "kg.json", "{}"),
    "polyvore": ("polyvore", "train.json", "[]"),
    "python_calls": ({"name": "python_calls", "library": "x"}, "a.py", "import x\nx.a()\n"),
    "recbole": ("recbole", "a.inter", "u:token\ti:token\n1\t2\n"),
    "redial": ("redial", "train_data.jsonl", ""),
    "simplices": ("simplices", "x-nverts.txt", "1\n"),
}
BY_LINE = {"redial", "loose_json_lines"}  # whose first line would already be a complaint
# Those whose first act on a non-UTF-8 line is another complaint, tested with their own files.
OTHERWISE = {"matrix", "opendialkg", "nested_lists", "python_calls"}


MARKED = ("sequences", "keyed_lists", "json_object", "json_records", "mind_behaviors")
MARKED += ("loose_json_lines", "mind_news", "nested_lists", "polyvore", "recbole", "simplices")


def test_every_reader_has_a_row() -> None:
    assert set(reader.names()) == set(FILES)


@pytest.mark.parametrize("name", sorted(set(FILES) - OTHERWISE))
def test_text_in_another_encoding_is_located(read: Any, name: str) -> None:
    config, file, _ = FILES[name]
    with pytest.raises(GraphRecError, match=rf"^{file}:2: expected utf-8 text, got byte 0xe9"):
        read(config, {file: b"\n\xe9\n" if name in BY_LINE else b'{"a":\n\xe9}\n'})


@pytest.mark.parametrize("name", sorted(FILES))
def test_truncated_gzip_is_told(read: Any, name: str) -> None:
    config, file, good = FILES[name]
    packed = gzip.compress((good or "x" * 100).encode() * 50)
    with pytest.raises(GraphRecError, match=r"expected (a complete compressed file|a file )"):
        read(config, {file + ".gz": packed[: len(packed) // 2]})


@pytest.mark.parametrize("name", sorted(set(FILES) - {"loose_json_lines", "redial", "opendialkg"}))
def test_an_empty_file_is_told(read: Any, name: str) -> None:
    config, file, _ = FILES[name]
    with pytest.raises(GraphRecError, match=r"expected (at least one line|a sparse matrix)"):
        read(config, {file: ""})


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("category_paths", "b\n1\n", "a.csv: expected a column 'a', got columns b"),
        (
            "python_calls",
            "x = (\n",
            "python_calls: expected functions that call libraries, got none",
        ),
        ("sequences", "1 2\n3\n", "a.txt:2: expected a user and items separated by ' ', got '3'"),
        ("keyed_lists", '{"1": [2],\n "2": }', "a.json:2: expected JSON, got Expecting value"),
        ("keyed_lists", '{"1": 5}', "a.json '1': expected a list, got 5"),
        ("keyed_lists", "[1]", "a.json: expected a JSON object, got a list"),
        ("json_object", '{"m": {\n"1" 2}}', "a.json:2: expected JSON"),
        ("json_records", "[1]", "a.json: expected a JSON object, got a int"),
        ("json_records", "5", "a.json: expected a JSON list or object, got a int"),
        ("loose_json_lines", "{'a': 1}\n{'a': open('x')}\n", "a.json:2: expected a record"),
        ("loose_json_lines", "{'a': 1}\n[1]\n", "a.json:2: expected a record in braces, got list"),
        ("mind_behaviors", "1 U1 x\n", "behaviors.tsv:1: expected 5 fields separated by tabs"),
        (
            "mind_news",
            "N1\ta\tb\tT\tA\tu\t[]\t[{]\n",
            "news.tsv:1: expected a JSON list",
        ),
        ("mind_news", "N1,a,b,T,A,u,[],[]\n", "news.tsv:1: expected 8 fields separated by tabs"),
        ("polyvore", '[{"set_id": 1}]', "train.json outfit 0: expected set_id and items"),
        ("recbole", "u\ti\n1\t2\n", "a.inter:1: expected fields as name:type"),
        ("recbole", "u:token\ti:token\n1,2\n", "a.inter:2: expected 2 fields separated by"),
        ("recbole", "u:token\tr:float\n1\t2\n1\tgood\n", "a.inter:3: expected a number in 'r'"),
        ("redial", '{"a": 1}\n', "train_data.jsonl:1: expected a ReDial dialogue"),
        ("redial", "{\n", "train_data.jsonl:1: expected a JSON object"),
        ("simplices", "1\ntwo\n", "x-nverts.txt:2: expected a whole number, got 'two'"),
        ("nested_lists", "[[1],\n [2,", "a.txt:"),
        ("nested_lists", "__import__('os')", "a.txt:1: expected a list of lists"),
        ("nested_lists", "[1, 2]", "a.txt: expected a list of lists of whole numbers"),
        ("nested_lists", '[["a"]]', "a.txt: expected a list of lists of whole numbers"),
        ("opendialkg", "{}", "opendialkg: expected a file entity2id.json, got kg.json"),
        ("matrix", "not a matrix", "a.npz: expected a sparse matrix saved by scipy"),
    ],
)
def test_wrong_content_is_located(read: Any, name: str, content: str, told: str) -> None:
    config, file, _ = FILES[name]
    with pytest.raises(GraphRecError) as caught:
        read(config, {file: content})
    assert str(caught.value).startswith(told)


@pytest.mark.parametrize("name", MARKED)
def test_a_mark_at_the_start_and_blank_lines_at_the_end_are_passed_over(
    read: Any, name: str
) -> None:
    config, file, good = FILES[name]
    more = {"x-simplices.txt": "5\n", "x-times.txt": "7\n"} if name == "simplices" else {}
    plain = read(config, {file: good, **more})
    odd = read(config, {file: b"\xef\xbb\xbf" + good.encode() + b"\n\n", **more})
    assert {part: rows.rows() for part, rows in odd.items()} == {
        part: rows.rows() for part, rows in plain.items()
    }


def test_line_lists_number_blank_lines(read: Any) -> None:
    tables = read("line_lists", {"a.txt": "\ufeff1 2\n\n3\n"})
    assert tables["lists"].rows() == [(("0"), "1", 0), ("0", "2", 1), ("2", "3", 0)]


def test_paths_lead_into_lists_and_are_in_some_record(read: Any) -> None:
    line = "{'user_id': 'js', 'items': [{'item_id': '10'}, {'item_id': '20'}], 'a.b': 1}\n"
    config = {"name": "loose_json_lines", "fields": {"u": "user_id", "i": "items.item_id"}}
    config["lists"] = ["i"]
    assert read(config, {"a.json": line})["i"].rows() == [("js", "10"), ("js", "20")]
    config = {"name": "loose_json_lines", "fields": {"i": "itmes"}}
    with pytest.raises(GraphRecError, match=r"fields\.i: expected a path .*did you mean 'items'"):
        read(config, {"a.json": line})
    config = {"name": "loose_json_lines", "fields": {"i": "items.id"}}
    with pytest.raises(GraphRecError, match=r"a path that a record has, got 'items\.id'"):
        read(config, {"a.json": line})
    config = {"name": "json_records", "fields": ["a", "b"]}
    with pytest.raises(GraphRecError, match=r"json_records\.fields\.b: expected a path"):
        read(config, {"a.json": '[{"a": 1}]'})

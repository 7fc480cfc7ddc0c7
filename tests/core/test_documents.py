"""Documents that would take memory, time or the stack: one line each, soon."""

import json
import os
import time
from pathlib import Path

import pytest

from graphrec_pt.core.documents import (
    DEPTH,
    parse_json,
    parse_yaml,
    parse_yaml_mapping,
    read_json_object,
    read_text,
)
from graphrec_pt.core.errors import GraphRecError

LAUGHS = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{b}: &{b} [*{a},*{a},*{a},*{a},*{a},*{a},*{a},*{a},*{a}]\n"
    for a, b in zip("abcdefgh", "bcdefghi", strict=True)
)
MERGES = "a: &a {k: 1, l: 2, m: 3}\n" + "".join(
    f"{b}: &{b} {{<<: [{', '.join([f'*{a}'] * 12)}]}}\n"
    for a, b in zip("abcdefg", "bcdefgh", strict=True)
)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (LAUGHS, "more than 200,000 values"),
        (MERGES, "more than 200,000 values"),
        ("a: &a [*a]", "an alias inside what it names"),
        ("a: &a {b: *a}", "an alias inside what it names"),
        ("[" * 100_000, "at most 64 levels"),
        ("{a: " * 1000 + "1" + "}" * 1000, "at most 64 levels"),
        ("- " * 5000 + "1", "at most 64 levels"),
        (
            "x: &x " + "[" * 50 + "]" * 50 + "\ny: " + "[" * 50 + "*x" + "]" * 50,
            "at most 64 levels",
        ),
        ("a: 1\nb: 2\na: 3", "the key 'a' twice"),
        ("? {a: 1}\n: 2", "YAML"),
        ("a: " + "9" * 5000, "cannot be read"),
        ("a: 2001-99-99", "cannot be read"),
        ("a: !!bool maybe", "cannot be read"),
        ("a: !!timestamp x", "cannot be read"),
        ("a: !!int ''", "cannot be read"),
        ("a: !!python/object/apply:os.system [ls]", "could not determine a constructor"),
        ("a: !!float x", "cannot be read"),
        ("a: *b", "undefined alias"),
        ("a: [1", "YAML"),
        ('a: "\\ud800"', "cannot be read"),
        ("a: \x1b", "special characters"),
        ("x" * 3_000_000, "at most 2 MiB"),
    ],
)
def test_yaml_that_is_refused(text: str, message: str) -> None:
    begun = time.process_time()
    with pytest.raises(GraphRecError, match=message) as caught:
        parse_yaml(text, "file.yaml")
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 1500
    assert time.process_time() - begun < 20


def test_yaml_that_is_read() -> None:
    text = "a: &a {x: 1, y: [1, 2]}\nb: {<<: *a, x: 3}\nc: [*a, *a]\nd: !!set {}"
    one = {"x": 1, "y": [1, 2]}
    assert parse_yaml(text, "t") == {
        "a": one,
        "b": {"x": 3, "y": [1, 2]},
        "c": [one] * 2,
        "d": set(),
    }
    assert parse_yaml("1: a\n'1': b", "t") == {1: "a", "1": "b"}  # not the same key
    assert parse_yaml("[" * DEPTH + "]" * DEPTH, "t")
    assert parse_yaml("", "t") is None
    with pytest.raises(GraphRecError, match="a mapping, got list"):
        parse_yaml_mapping("[1]", "t")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[" * 100_000, "at most 64 levels"),
        ('{"a":' * 500 + "1" + "}" * 500, "at most 64 levels"),
        ('{"a": 1, "a": 2}', "the key 'a' twice"),
        ('{"a": "\\ud800"}', "surrogates not allowed"),
        ('{"\\ud800": 1}', "surrogates not allowed"),
        ("9" * 5000, "JSON"),
        ("{", "JSON"),
        ("", "JSON"),
    ],
)
def test_json_that_is_refused(text: str, message: str) -> None:
    with pytest.raises(GraphRecError, match=message) as caught:
        parse_json(text, "file.json")
    assert "\n" not in str(caught.value)


def test_numbers_that_are_not_finite() -> None:
    for text in ("[NaN]", "[-Infinity]", "[1e999]"):
        assert len(parse_json(text, "t")) == 1
        with pytest.raises(GraphRecError, match="the number"):
            parse_json(text, "t", finite=True)


def test_files(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text(json.dumps({"é": [1.5, None]}))
    assert read_json_object(path) == {"é": [1.5, None]}
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(GraphRecError, match=r"UTF-8 text, got byte 0xff at 0"):
        read_json_object(path)
    path.write_text("[]")
    with pytest.raises(GraphRecError, match="a JSON object, got list"):
        read_json_object(path)
    with pytest.raises(GraphRecError, match="at most 0 MiB"):
        read_text(path, 1)
    with pytest.raises(GraphRecError, match="a file, got a folder"):
        read_json_object(tmp_path)
    with pytest.raises(FileNotFoundError):
        read_json_object(tmp_path / "none")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "graph.json")
    with pytest.raises(GraphRecError, match="a file, got something else"):
        read_json_object(tmp_path / "graph.json")

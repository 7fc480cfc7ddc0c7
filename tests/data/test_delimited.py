"""Quotes, line breaks and widths of delimited text: read as meant, told, or refused at the line."""

import csv
import io
from pathlib import Path

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.data.card import TablePlan
from graphrec_pt.data.delimited import LINE, Delimited
from graphrec_pt.data.problems import Problems
from graphrec_pt.data.raw import RawFile

HEAD = "id,title,kind\n"


def read(
    folder: Path, text: str | bytes, name: str = "items.csv", **options: object
) -> tuple[list[tuple[object, ...]], Problems]:
    """Return the rows with their line first, and what was told."""
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    problems, plan = Problems(), TablePlan.model_validate({"file": name, **options})
    source = Delimited(RawFile(path), plan, folder, problems)
    try:
        rows = source.scan({}, numbered=True).collect()
    except pl.exceptions.PolarsError as error:
        source.explain(error)
        raise
    return rows.select(LINE, pl.exclude(LINE)).rows(), problems


def refusal(folder: Path, text: str | bytes, **options: object) -> str:
    with pytest.raises(GraphRecError) as caught:
        read(folder, text, **options)
    return str(caught.value)


def test_marks_inside_a_field_are_text(tmp_path: Path) -> None:
    rows, told = read(tmp_path, HEAD + 'a,12" vinyl,x\nb,"1,5"" tape",y\nc,Plain,z\n')
    assert rows == [(2, "a", '12" vinyl', "x"), (3, "b", '1,5" tape', "y"), (4, "c", "Plain", "z")]
    assert told.notes == [
        "items.csv: 1 line with quotes inside a field (first items.csv:2); they are read as text"
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('a,"Weird" Al,x\n', "items.csv:2: expected 3 fields with closed quotes, got a quote that"),
        ('b,Plain,y\na,"Weird,x\n', "items.csv:3: .*never closed; try `quote: null`"),
        ('a,"a 12\\" single",x\nb,P,y\nc,"a 7\\" x",z\n', "items.csv:2: .*backslash; try `escape"),
        ('a,"12\\"",x\nb,P,y\nc,"7\\"",z\n', "items.csv:2: .*quotes after a backslash"),
        ('a,"two\nlines" more,x\n', "items.csv:2: .*a quote that does not end its field"),
    ],
)
def test_quotes_that_do_not_end_are_refused_at_their_line(
    tmp_path: Path, text: str, said: str
) -> None:
    from re import search

    assert search(said, refusal(tmp_path, HEAD + text))


def test_what_the_hints_of_quotes_say_works(tmp_path: Path) -> None:
    rows, _ = read(tmp_path, HEAD + 'a,"Weird" Al,x\n', quote=None)
    assert rows == [(2, "a", '"Weird" Al', "x")]
    text = HEAD + 'a,"a 12\\" single",x\nb,Plain,y\nc,"a 7\\" one",z\n'
    rows, told = read(tmp_path, text, escape="\\")
    assert [row[2] for row in rows] == ['a 12" single', "Plain", 'a 7" one']
    assert told.notes == []


def test_joined_lines_are_counted_and_rows_keep_their_line(tmp_path: Path) -> None:
    rows, told = read(tmp_path, HEAD + 'a,"one\ntwo\n\nfour",x\n\nb,Bee,y\n')
    assert rows == [(2, "a", "one\ntwo\n\nfour", "x"), (7, "b", "Bee", "y")]
    assert told.notes == ["items.csv: quoted fields join 4 lines into 1 row (first items.csv:2)"]


def test_joined_lines_that_look_like_rows_are_doubted(tmp_path: Path) -> None:
    rows, told = read(tmp_path, HEAD + 'a,"Pen,x\nb,Bee,y\nc,Ink",z\n')
    assert len(rows) == 1
    assert "join 3 lines into 1 row" in told.notes[0]
    assert "look like rows: `quote: null`" in told.notes[0]


def test_short_rows_are_told(tmp_path: Path) -> None:
    rows, told = read(tmp_path, HEAD + "a,Ant,x\nb,Bee\n\nc\nd,Dog,y\n")
    assert [row[1:] for row in rows if row[1]] == [
        ("a", "Ant", "x"),
        ("b", "Bee", None),
        ("c", None, None),
        ("d", "Dog", "y"),
    ]
    assert told.notes == [
        "items.csv: 2 rows with fewer than 3 fields (first items.csv:3); "
        "the fields that lack are empty"
    ]


@pytest.mark.parametrize("quoted", ["", '"'])
def test_long_rows_are_refused_or_dropped(tmp_path: Path, quoted: str) -> None:
    text = HEAD + f"a,{quoted}Ant{quoted},x\nb,Bee,y,more\nc,Cat,z\n"
    said = refusal(tmp_path, text)
    assert said.startswith("items.csv:3: expected 3 fields, got 4")
    assert "bad_rows: drop" in said
    rows, told = read(tmp_path, text, bad_rows="drop")
    assert [row[:2] for row in rows] == [(2, "a"), (4, "c")]
    assert told.dropped[0]["rows"] == 1
    assert told.dropped[0]["examples"] == ["items.csv:3 4 fields"]


def test_a_long_and_a_short_row_do_not_make_up_for_each_other(tmp_path: Path) -> None:
    assert refusal(tmp_path, HEAD + "a,Ant\nb,Bee,y,more\n").startswith("items.csv:3")


@pytest.mark.parametrize(
    ("text", "options", "said"),
    [
        ("sep=;\nid;title\n", {}, "items.csv:1: expected a line of the table, got 'sep=;'"),
        ("\n\nid,title\n", {}, "items.csv:1: expected a first line with text, got a blank one"),
        ("\n \n", {}, "items.csv: expected at least one line, got an empty file"),
        ("id::a\x1fb\n", {"separator": "::"}, "items.csv: expected lines of plain text"),
        (b"PAR1\x15\x04", {}, "items.csv: expected text, got a Parquet file; try renaming"),
        (b"PK\x03\x04\x14", {}, "items.csv: expected text, got a zip archive or an Excel"),
        ("\ufeffid,title\na,b\n", {"encoding": "latin1"}, "got utf-8, by its first bytes; try le"),
        ("id,title\na,b\n", {"encoding": "klingon"}, "expected a known text encoding, got 'kling"),
    ],
)
def test_files_that_are_no_such_table(
    tmp_path: Path, text: str | bytes, options: dict[str, object], said: str
) -> None:
    assert said in refusal(tmp_path, text, **options)


@pytest.mark.parametrize(
    "options", [{"separator": ""}, {"separator": "\n"}, {"quote": "''"}, {"escape": ""}]
)
def test_options_that_no_file_can_have(options: dict[str, object]) -> None:
    with pytest.raises(GraphRecError):
        TablePlan.checked({"file": "a.csv", **options}, "card")


FIELD = st.text(st.sampled_from('ab,;"\n\\ é'), max_size=6)


@settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(st.tuples(FIELD, FIELD), min_size=1, max_size=6))
def test_what_a_csv_writer_wrote_is_read_or_refused(
    tmp_path: Path, pairs: list[tuple[str, str]]
) -> None:
    """Python's csv module is the oracle; only a backslash before a quote may be refused."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerows([("one", "two"), *pairs])
    try:
        rows, _ = read(tmp_path, text.getvalue())
    except GraphRecError as error:
        if "\\" in text.getvalue() and "backslash" in str(error):
            return
        raise
    found = [tuple(value or "" for value in row[1:]) for row in rows]
    assert [row for row in found if any(row)] == [pair for pair in pairs if any(pair)]


@settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.text(st.sampled_from('ab,"\n\\\r'), min_size=1, max_size=40))
def test_any_text_is_read_row_for_row_or_refused_in_one_line(tmp_path: Path, text: str) -> None:
    try:
        rows, told = read(tmp_path, HEAD + text)
    except GraphRecError as error:
        said = str(error)
    else:
        said = ""
    assert "\n" not in said
    if said:
        return
    lines = (HEAD + text).count("\n")
    joined = any("join" in note for note in told.notes)
    filled = sum(any(value is not None for value in row[1:]) for row in rows)
    blank = sum(not line.strip('\r", ') for line in (HEAD + text).split("\n")[1:])
    assert joined or filled >= lines - 1 - blank  # no line is swallowed in silence

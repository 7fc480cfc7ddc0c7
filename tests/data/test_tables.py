"""What people's own files look like: each is read as meant, or refused with its line."""

import json
from pathlib import Path
from typing import Any

import pytest

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.data.build import build_card
from graphrec_pt.data.card import Card, load_card
from graphrec_pt.graph.graph import Graph

ROWS = "user,item,time\nann,pen,10\nbob,ink,20\n"


def tables(**options: Any) -> Card:
    """Return the card for one's own tables, its interactions read with other options."""
    card = load_card("tables")
    plan = card.tables["interactions"].model_copy(update=options)
    return card.model_copy(update={"tables": card.tables | {"interactions": plan}})


def made(
    folder: Path, content: bytes | str, name: str = "interactions.csv", **options: Any
) -> Graph:
    data = content if isinstance(content, bytes) else content.encode()
    (folder / name).write_bytes(data)
    return build_card(tables(**options), folder)


@pytest.mark.parametrize(
    ("content", "options"),
    [
        (ROWS, {}),
        (b"\xef\xbb\xbf" + ROWS.encode(), {}),
        (ROWS.replace("\n", "\r\n"), {}),
        (ROWS + "\n\n", {}),
        (ROWS.replace("ann", '"ann"'), {}),
        (ROWS.encode("utf-16"), {"encoding": "utf-16"}),
        (ROWS.replace("\n", "\r\n").encode("utf-16"), {"encoding": "utf-16"}),
        (ROWS.replace(",", "::"), {"separator": "::"}),
        (b"\xef\xbb\xbf" + ROWS.replace(",", "::").encode(), {"separator": "::"}),
    ],
    ids=["plain", "mark", "windows", "blank", "quoted", "utf16", "utf16win", "wide", "wide mark"],
)
def test_read_as_meant(tmp_path: Path, content: bytes | str, options: dict[str, Any]) -> None:
    assert made(tmp_path, content, **options).fingerprint == (
        build_card(tables(), _folder(tmp_path / "plain")).fingerprint
    )


def _folder(folder: Path) -> Path:
    folder.mkdir()
    (folder / "interactions.csv").write_text(ROWS)
    return folder


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (ROWS.replace("\n", "\r"), r"interactions.csv:1: expected lines that end in .n"),
        (ROWS.encode("utf-16"), "interactions.csv:1: expected utf-8 text, got utf-16"),
        (ROWS.replace("item", "user"), "one column 'user' in table 'interactions', got several"),
        (ROWS.replace("item", "Item"), "did you mean 'Item'"),
        (
            ROWS + 'cat,"pen,30\n',
            "interactions.csv:4: expected 3 fields with closed quotes, got a quote that is never",
        ),
        (ROWS + "cat,pen,3,000\n", "interactions.csv:4: expected 3 fields, got 4"),
        (ROWS + "cat,pen,99999999999999999999\n", "interactions.csv:4 '99999999999999999999'"),
        (ROWS + "cat,pen,nan\n", "a time that reads, .*interactions.csv:4 'nan'"),
        (ROWS + "cat,pen\n", "interactions.csv:4 .an empty cell"),
        (ROWS + "cat,,30\n", "a target id, .*interactions.csv:4"),
    ],
)
def test_refused_with_the_line(tmp_path: Path, content: bytes | str, message: str) -> None:
    with pytest.raises(GraphRecError, match=message) as caught:
        made(tmp_path, content)
    assert all(": expected " in line for line in str(caught.value).splitlines())


def test_json_lines(tmp_path: Path) -> None:
    lines = json.dumps({"user": "ann", "item": "pen", "time": 1}) + "\n"
    with pytest.raises(GraphRecError, match=r"interactions.jsonl:2: expected a JSON object"):
        made(tmp_path, lines + '{"user": "ann"', "interactions.jsonl")
    with pytest.raises(GraphRecError, match=r"interactions.jsonl: expected at least one line"):
        made(tmp_path, "", "interactions.jsonl")
    assert made(tmp_path, lines, "interactions.jsonl").num_edges("interacts") == 1


def test_two_formats_of_one_table(tmp_path: Path) -> None:
    (tmp_path / "interactions.tsv").write_text(ROWS.replace(",", "\t"))
    with pytest.raises(GraphRecError, match=r"files of one format, got interactions.csv, inter"):
        made(tmp_path, ROWS)


def test_ids_are_texts_in_files(tmp_path: Path) -> None:
    graph = made(tmp_path, "user,item,time\n007,1,1\n7,01,2\n")
    assert graph.num_nodes("user") == graph.num_nodes("item") == 2


def test_out_is_checked_before_anything_is_read(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("mine")
    for out, message in (
        (file, "a new folder or a saved graph, got a file"),
        (file / "g", "written"),
    ):
        with pytest.raises(GraphRecError, match=message):
            build_card(load_card("toy-shop"), out=out)
    assert file.read_text() == "mine"


def test_a_filter_that_leaves_no_row_is_named() -> None:
    card = Card.model_validate(
        {
            "name": "x",
            "tables": {"t": {"rows": [{"u": "a", "i": "b"}], "where": "u = 'zz'"}},
            "nodes": {"user": {}, "item": {}},
            "edges": {
                "buys": {
                    "table": "t",
                    "source": "user.u",
                    "target": "item.i",
                    "interaction": True,
                }
            },
        }
    )
    with pytest.raises(GraphRecError, match=r"got none; `where: u = 'zz'` in tables.t.where"):
        build_card(card)

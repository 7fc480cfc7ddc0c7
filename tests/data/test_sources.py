"""JSON, Parquet and Arrow read like CSV: types, marks, gaps, places of rows."""

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.data.build import build_card
from graphrec_pt.data.sources import parsed
from graphrec_pt.graph.graph import Graph
from tests.data.own_tables import ROWS, built, notes, tables

LOG = {"user": [1.0, 1.0, 2.0], "item": ["x", "y", "x"], "time": [1, 2, 3]}


def written(folder: Path, ending: str, rows: dict[str, list[Any]]) -> Path:
    frame, path = pl.DataFrame(rows, strict=False), folder / f"interactions.{ending}"
    if ending == "csv":
        frame.write_csv(path)
    elif ending == "parquet":
        frame.write_parquet(path)
    elif ending == "arrow":
        frame.write_ipc(path)
    elif ending == "jsonl":
        frame.write_ndjson(path)
    else:
        path.write_text(json.dumps(frame.rows(named=True)))
    return folder


def lines(*rows: dict[str, Any] | str) -> str:
    return "".join((r if isinstance(r, str) else json.dumps(r)) + "\n" for r in rows)


def event(**changes: Any) -> dict[str, Any]:
    return {"user": "u", "item": "i", "time": 1} | changes


ENDINGS = ["csv", "parquet", "arrow", "jsonl", "json"]


@pytest.mark.parametrize("ending", ENDINGS)
def test_types_hold_for_every_format(tmp_path: Path, ending: str) -> None:
    card = tables(types={"user": "int", "time": "int"})
    graph = build_card(card, written(tmp_path, ending, LOG))
    assert sorted(graph.tables["user"]["id"]) == ["1", "2"]
    assert graph.num_edges("interacts") == 3


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_value_of_another_type_is_located_or_dropped(tmp_path: Path, ending: str) -> None:
    written(tmp_path, ending, LOG | {"user": [1.0, 1.5, 2.0]})
    place = {"csv": ":3", "jsonl": ":2"}.get(ending, " row 2")
    with pytest.raises(GraphRecError) as caught:
        build_card(tables(types={"user": "int"}), tmp_path)
    assert f"a whole number in column 'user', got 1 row without (interactions.{ending}{place} " in (
        str(caught.value)
    )
    graph = build_card(tables(types={"user": "int"}, bad_rows="drop"), tmp_path)
    assert graph.num_edges("interacts") == 2
    assert graph.provenance["problems"][0]["rows"] == 1


@pytest.mark.parametrize("ending", ["parquet", "jsonl"])
def test_the_hint_for_ids_that_became_floats_works(tmp_path: Path, ending: str) -> None:
    written(tmp_path, ending, LOG)
    with pytest.raises(GraphRecError, match=r"try `types: \{user: int\}` in table 'interactions'"):
        build_card(tables(), tmp_path)


def test_missing_texts_hold_for_every_format(tmp_path: Path) -> None:
    for ending in ("csv", "parquet", "jsonl"):
        folder = tmp_path / ending
        folder.mkdir()
        written(folder, ending, {"user": ["a", "b"], "item": ["x", "NULL"], "time": [1, 2]})
        graph = build_card(tables(missing=("NULL",), bad_rows="drop"), folder)
        assert graph.num_edges("interacts") == 1, ending


LATE = [
    ([event(item=1)] * 3 + [event(item="B00X")], {"1", "B00X"}),
    ([event(item=1)] * 3 + [event(item=True)], {"1", "true"}),
    ([event(item=[1])] * 3 + [event(item=["a", 2])], {"1", "a", "2"}),
    ([event(item=2**70), event(item=3)], {str(2**70), "3"}),
    ([event(item=10**60), event(item=3)], {str(10**60), "3"}),
    ([event(item="x"), event(item={"a": 1})], {"x", '{"a": 1}'}),
]


@pytest.mark.parametrize(("rows", "items"), LATE)
def test_columns_that_change_their_kind_become_text(
    tmp_path: Path, rows: list[Any], items: set[str]
) -> None:
    graph = built(tmp_path, interactions_jsonl=lines(*rows))
    found = {raw.replace('{"a":1}', '{"a": 1}') for raw in graph.tables["item"]["id"]}
    assert found == items


def test_whole_numbers_among_fractions_are_no_ids(tmp_path: Path) -> None:
    with pytest.raises(GraphRecError, match=r"ids in 'item', got the type Float64; try `types: "):
        built(tmp_path, interactions_jsonl=lines(event(item=1), event(item=2.5)))


def test_lists_among_single_ids_are_told(tmp_path: Path) -> None:
    graph = built(tmp_path, interactions_jsonl=lines(event(), event(item=["a", "b"])))
    told = [note for note in notes(graph) if note.startswith("item: 1 id written like a list")]
    assert told, notes(graph)


def test_a_late_change_is_found_past_any_sample(tmp_path: Path) -> None:
    rows = [event(user=f"u{n % 7}", item=n % 11, time=n) for n in range(10_005)]
    rows[10_002]["time"] = "N/A"
    with pytest.raises(GraphRecError) as caught:
        built(tmp_path, interactions_jsonl=lines(*rows))
    said = str(caught.value)
    assert "interactions.jsonl:10003 'N/A'" in said
    assert "try `missing: ['N/A']` there" in said
    graph = build_card(tables(missing=("N/A",), bad_rows="drop"), tmp_path)
    assert graph.num_edges("interacts") == 10_004


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (lines(event(), "", event(time="x")), "interactions.jsonl:3 'x'"),
        (lines(event(), '{"user": "u", "time": NaN, "item": "i"}'), "interactions.jsonl:2 'NaN'"),
        (lines(event(), '{"user": "u"},'), "interactions.jsonl:2: expected a JSON object, got Ext"),
        (lines(event(), "[1]"), "interactions.jsonl:2: expected a JSON object, got a list"),
        (lines(event(item=["a"]), event(item=["b", None])), "interactions.jsonl:2 ['b', None]"),
        (lines(event(user={"id": 1})), "whole numbers or text as ids in 'user', got the type Str"),
        ("[" * 100_000, "interactions.jsonl: expected JSON of moderate depth"),
    ],
)
def test_json_lines_are_refused_at_their_line(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(GraphRecError) as caught:
        built(tmp_path, interactions_jsonl=text)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[1, 2]", "interactions.json row 1: expected a JSON object, got a int"),
        ("[]", "a column 'user' in table 'interactions', got no columns"),
        ("", "interactions.json: expected at least one line, got an empty file"),
        ('{\n"a": 1\n}', "interactions.json:1: expected a JSON object"),
        (json.dumps([event(), event(time="x")]), "interactions.json row 2 'x'"),
        (json.dumps([event(item=1), event(item=True, time="x")]), "interactions.json row 2 'x'"),
    ],
)
def test_json_lists_are_refused_at_their_row(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(GraphRecError) as caught:
        built(tmp_path, interactions_json=text)
    assert said in str(caught.value)


@pytest.mark.parametrize("ending", ["csv", "jsonl", "json", "tsv"])
@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "latin1"])
def test_marks_and_encodings_hold_for_every_text_format(
    tmp_path: Path, ending: str, encoding: str
) -> None:
    rows = [event(user="Zoë"), event(user="b", item="j", time=2)]
    text = {"jsonl": lines(*rows), "json": json.dumps(rows, ensure_ascii=False)}.get(
        ending, "user,item,time\nZoë,i,1\nb,j,2\n".replace(",", "\t" if ending == "tsv" else ",")
    )
    data = (b"\xff\xfe" if encoding == "utf-16-le" else b"") + text.encode(encoding)
    (tmp_path / f"interactions.{ending}").write_bytes(data)
    options = {} if encoding == "utf-8-sig" else {"encoding": encoding}
    assert sorted(build_card(tables(**options), tmp_path).tables["user"]["id"]) == ["Zoë", "b"]


def test_categories_are_texts(tmp_path: Path) -> None:
    frame = pl.DataFrame({"user": ["5", "3"], "item": ["x", "y"], "time": ["7", "9"]})
    frame = frame.with_columns(pl.all().cast(pl.Categorical))
    frame.write_parquet(tmp_path / "interactions.parquet")
    graph: Graph = build_card(tables(types={"time": "int"}), tmp_path)
    assert sorted(graph.tables["user"]["id"]) == ["3", "5"]
    assert graph.csr.time is not None
    assert sorted(set(graph.csr.time.tolist())) == [7, 9]


def test_files_of_one_table_may_differ_in_type(tmp_path: Path) -> None:
    pl.DataFrame(event(item=7)).write_parquet(tmp_path / "interactions.1.parquet")
    pl.DataFrame(event(item="B7")).write_parquet(tmp_path / "interactions.2.parquet")
    graph = build_card(tables(), tmp_path)
    assert sorted(graph.tables["item"]["id"]) == ["7", "B7"]


@pytest.mark.parametrize(
    ("values", "type_", "expected"),
    [
        (
            ["1", " 2 ", "3.0", "1e3", "x", "2.5", str(2**63), None],
            "int",
            [1, 2, 3, 1000, *[None] * 4],
        ),
        ([1.0, 2.5, float("nan"), float("inf"), 1e300], "int", [1, None, None, None, None]),
        ([True, False], "int", [1, 0]),
        (["1.5", "x"], "float", [1.5, None]),
        ([1, 2], "text", ["1", "2"]),
    ],
)
def test_parsed(values: list[Any], type_: Any, expected: list[Any]) -> None:
    frame = pl.DataFrame({"a": values})
    assert frame.select(parsed("a", type_, frame["a"].dtype))["a"].to_list() == expected


def test_csv_ids_that_look_like_floats_become_whole_if_asked(tmp_path: Path) -> None:
    text = ROWS.replace("ann", "1.0").replace("bob", "2.0")
    graph = built(tmp_path, tables(types={"user": "int"}), interactions_csv=text)
    assert sorted(graph.tables["user"]["id"]) == ["1", "2"]

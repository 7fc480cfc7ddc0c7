"""Every kind of broken input gets one clear line and leaves nothing behind."""

import errno
import gzip
import io
import os
import signal
import subprocess
import sys
import textwrap
import zipfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.data.build import build_card
from graphrec_pt.data.card import Card, parse_card
from graphrec_pt.graph.graph import Graph

CARD = """
name: shop
title: Shop
licence: {name: none}
tables:
  ratings:
    file: ratings.csv
    types: {stars: float, time: int}
    BAD
  items: {file: items.csv}
nodes:
  user: {}
  item: {table: items, id: item, columns: {title: text} UNKNOWN}
edges:
  rates:
    {table: ratings, source: user.user, target: item.item, time: time, weight: stars,
     interaction: true}
"""
RATINGS = "user,item,stars,time\nu1,a,5,10\nu1,b,3,20\nu2,a,4,30\n"
ITEMS = "item,title\na,Ant\nb,Bee\n"


def card(bad: str = "", unknown: str = "") -> Card:
    return parse_card(CARD.replace("BAD", bad).replace("UNKNOWN", unknown), "shop.yaml")


def made(folder: Path, card: Card, ratings: Any = RATINGS, items: Any = ITEMS) -> Graph:
    raw = folder / "raw"
    raw.mkdir(exist_ok=True)
    for name, content in (("ratings.csv", ratings), ("items.csv", items)):
        if content is not None:
            data = content.encode() if isinstance(content, str) else content
            (raw / name).write_bytes(data)
    return build_card(card, raw, out=folder / "graphs" / "shop")


def refused(folder: Path, message: str, card: Card, **files: Any) -> str:
    with pytest.raises(GraphRecError, match=message) as caught:
        made(folder, card, **files)
    assert all(": expected " in line for line in str(caught.value).splitlines())
    left = [p for p in folder.rglob("*") if p.is_file() and "raw" not in p.parts]
    assert not left, "a half-written graph was left behind"
    return str(caught.value)


def test_good_input_builds(tmp_path: Path) -> None:
    assert made(tmp_path, card()).num_edges("rates") == 3


def test_missing_column(tmp_path: Path) -> None:
    said = refused(
        tmp_path,
        "a column 'stars' in table 'ratings'",
        card(),
        ratings="user,item,star,time\nu,a,1,1\n",
    )
    assert "did you mean 'star'" in said


def test_wrong_delimiter(tmp_path: Path) -> None:
    said = refused(tmp_path, "a column", card(), ratings=RATINGS.replace(",", ";"))
    assert "separator: ';'" in said


def test_unparsable_time_names_the_line(tmp_path: Path) -> None:
    broken = RATINGS + "u3,a,1,yesterday\n"
    said = refused(tmp_path, r"a whole number in column 'time'", card(), ratings=broken)
    assert "ratings.csv:5 'yesterday'" in said


def test_unparsable_rows_are_dropped_when_the_card_says_so(tmp_path: Path) -> None:
    broken = RATINGS + "u3,a,1,yesterday\nu3,a,many,40\n,a,1,50\n"
    graph = made(tmp_path, card(bad="bad_rows: drop"), ratings=broken)
    assert graph.num_edges("rates") == 3
    assert [p["rows"] for p in graph.provenance["problems"]] == [1, 1, 1]


def test_missing_id_names_the_line(tmp_path: Path) -> None:
    said = refused(tmp_path, "a source id", card(), ratings=RATINGS + ",a,1,50\n")
    assert "ratings.csv:5" in said


def test_duplicate_keys(tmp_path: Path) -> None:
    said = refused(tmp_path, "one row per item", card(), items=ITEMS + "a,Again\n")
    assert "'a'" in said
    assert "duplicates: first" in said


def test_dangling_edge_ends(tmp_path: Path) -> None:
    broken = RATINGS + "u1,zebra,1,50\n"
    said = refused(tmp_path, "item ids that table 'items' knows", card(), ratings=broken)
    assert "'zebra'" in said
    assert made(tmp_path, card(unknown=", unknown: drop"), ratings=broken).num_edges("rates") == 3
    assert made(tmp_path, card(unknown=", unknown: add"), ratings=broken).num_edges("rates") == 4


@pytest.mark.parametrize("content", ["", "\n"])
def test_empty_file(tmp_path: Path, content: str) -> None:
    refused(tmp_path, "ratings.csv: expected at least one line", card(), ratings=content)


def test_header_only_is_an_empty_relation(tmp_path: Path) -> None:
    assert made(tmp_path, card(), ratings="user,item,stars,time\n").num_edges("rates") == 0


def test_missing_file(tmp_path: Path) -> None:
    refused(tmp_path, "table 'items': expected items.csv in raw", card(), items=None)


def test_truncated_gzip(tmp_path: Path) -> None:
    (tmp_path / "raw").mkdir()
    packed = gzip.compress(RATINGS.encode() * 500)
    (tmp_path / "raw" / "ratings.csv.gz").write_bytes(packed[: len(packed) // 2])
    refused(tmp_path, "ratings.csv.gz: expected a complete compressed file", card(), ratings=None)


def test_gzip_reads_like_plain(tmp_path: Path) -> None:
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "ratings.csv.gz").write_bytes(gzip.compress(RATINGS.encode()))
    assert made(tmp_path, card(), ratings=None).num_edges("rates") == 3


def test_not_utf8_names_the_line(tmp_path: Path) -> None:
    broken = ITEMS.encode() + "c,Chaussée\n".encode("latin1")
    said = refused(tmp_path, "items.csv:4: expected utf-8 text", card(), items=broken)
    assert "encoding: latin1" in said


def test_longer_line(tmp_path: Path) -> None:
    refused(
        tmp_path,
        "ratings.csv:5: expected 4 fields, got 6",
        card(),
        ratings=RATINGS + "u1,a,1,50,what,this\n",
    )


def test_archive_member_outside_its_folder(tmp_path: Path) -> None:
    (tmp_path / "raw").mkdir()
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("../../ratings.csv", RATINGS)
    (tmp_path / "raw" / "shop.zip").write_bytes(packed.getvalue())
    refused(tmp_path, "shop.zip: expected members inside", card(), ratings=None)


def test_zip_members_are_read_in_place(tmp_path: Path) -> None:
    (tmp_path / "raw").mkdir()
    with zipfile.ZipFile(tmp_path / "raw" / "shop.zip", "w") as archive:
        archive.writestr("shop-1.0/ratings.csv", RATINGS)
    assert made(tmp_path, card(), ratings=None).num_edges("rates") == 3


def test_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: Any, **options: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("graphrec_pt.graph.store.np.save", full)
    refused(tmp_path, "No space left on device", card())


def test_killed_build_leaves_no_graph(tmp_path: Path) -> None:
    made(tmp_path, card())  # the graph that must survive
    before = (tmp_path / "graphs" / "shop" / "graph.json").read_bytes()
    code = """
        import os, signal, sys
        from graphrec_pt.graph import store
        from graphrec_pt.data.build import build_card
        from graphrec_pt.data.card import load_card
        save = store.np.save
        def save_and_wait(path, array):
            save(path, array)
            if "indices" in str(path):
                print("halfway", flush=True)
                sys.stdin.read()
        store.np.save = save_and_wait
        build_card(load_card(sys.argv[1]), sys.argv[2], out=sys.argv[3], seed=1)
    """
    (tmp_path / "shop.yaml").write_text(CARD.replace("BAD", "").replace("UNKNOWN", ""))
    arguments = [str(tmp_path / name) for name in ("shop.yaml", "raw", "graphs/shop")]
    child = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code), *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert child.stdout is not None
    assert child.stdout.readline().strip() == b"halfway"
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    child.stdout.close()
    assert child.stdin is not None
    child.stdin.close()
    assert (tmp_path / "graphs" / "shop" / "graph.json").read_bytes() == before
    visible = [p.name for p in (tmp_path / "graphs").iterdir() if not p.name.startswith(".")]
    assert visible == ["shop"]
    made(tmp_path, card())  # the next build clears up after the killed one
    assert [p.name for p in (tmp_path / "graphs").iterdir()] == ["shop"]


MUTATION = st.tuples(
    st.integers(0, len(RATINGS) - 1),
    st.sampled_from(["drop", "insert", "replace"]),
    st.binary(max_size=3),
)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(MUTATION, min_size=1, max_size=6))
def test_mutated_files_build_or_are_refused_in_one_line(
    tmp_path: Path, mutations: list[tuple[int, str, bytes]]
) -> None:
    data = bytearray(RATINGS.encode())
    for place, how, new in mutations:
        place = min(place, len(data))
        data[place : place + (how != "insert")] = b"" if how == "drop" else new
    refusal = ""
    try:
        graph = made(tmp_path, card(unknown=", unknown: add"), ratings=bytes(data))
        assert graph.num_edges("rates") == graph.num_edges("rev_rates")
    except GraphRecError as error:
        refusal = str(error)
    assert all(": expected " in line for line in refusal.splitlines())

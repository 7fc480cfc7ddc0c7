"""Forged graphs: digests fit, numbers lead astray. Each is refused before a kernel reads it."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.graph import store
from graphrec_pt.graph.graph import Graph
from graphrec_pt.graph.integrity import checksum
from graphrec_pt.graph.store import open_graph, save_graph


@pytest.fixture
def saved(toy_graph: Graph, tmp_path: Path) -> Path:
    save_graph(toy_graph, tmp_path / "toy")
    return tmp_path / "toy"


def forge(folder: Path, **header: Any) -> None:
    """Take the seals off, as a graph of an older version has none, and change the header."""
    content = json.loads((folder / "graph.json").read_text())
    content.pop("digest", None)
    content.pop("checksums", None)
    (folder / "graph.json").write_text(json.dumps({**content, **header}))


def put(folder: Path, array: str, place: int, value: float) -> None:
    content = np.load(folder / f"{array}.npy")
    content[place] = value
    np.save(folder / f"{array}.npy", content)


@pytest.mark.parametrize(
    ("array", "place", "value", "message"),
    [
        ("indices", 0, 10, "ids of the targets"),  # beyond all nodes
        ("indices", 0, -1, "ids of the targets"),
        ("indices", 0, 7, "ids of the targets of 'user'"),  # a brand, where users rate items
        ("indices", -1, 2**31 - 1, "ids of the targets"),
        ("segment", 1, 10**9, "ascend from 0"),
        ("segment", 1, -5, "ascend from 0"),
        ("segment", 0, 1, "ascend from 0"),
        ("segment", -1, 3, "ascend from 0"),
        ("offset", 1, 10**12, "ascending numbers from 0"),
        ("offset", 0, -1, "ascending numbers from 0"),
        ("slots", 0, 3, "as the schema has relations"),
        ("base", 1, 5, "base: expected"),
        ("edge", 0, 99, "edge ids of 'user'"),
        ("edge", 0, -1, "edge ids of 'user'"),
        ("time", 0, 2**62, "times that ascend"),
        ("weight", 0, np.nan, "finite numbers"),
        ("weight", 0, -np.inf, "finite numbers"),
    ],
)
def test_a_number_that_leads_astray(
    saved: Path, array: str, place: int, value: float, message: str
) -> None:
    put(saved, array, place, value)
    with pytest.raises(GraphRecError, match=f"{array}.npy: expected the file that was saved"):
        open_graph(saved)
    forge(saved)
    with pytest.raises(GraphRecError, match=message) as caught:
        open_graph(saved)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("array", "made", "message"),
    [
        ("indices", lambda a: a.astype(np.float32), "int32 or int64 of one dimension"),
        ("indices", lambda a: a.astype(">i4"), "int32 or int64 of one dimension"),
        ("segment", lambda a: a.astype(np.int32), "int64 of one dimension"),
        ("time", lambda a: a.reshape(1, -1), "of one dimension"),
        ("weight", lambda a: a.astype(np.float64), "float32 of one dimension"),
        ("indices", lambda a: a[:-1], "numbers, got"),
        ("segment", lambda a: a[:-1], "segment: expected"),
        ("offset", lambda a: a[:0], "offset: expected"),
        ("base", lambda a: a[:2], "base: expected"),
    ],
)
def test_arrays_of_another_kind(
    saved: Path, array: str, made: Callable[[Any], Any], message: str
) -> None:
    np.save(saved / f"{array}.npy", made(np.load(saved / f"{array}.npy")))
    forge(saved)
    with pytest.raises(GraphRecError, match=message):
        open_graph(saved)


def test_a_giant_shape_takes_no_memory(saved: Path) -> None:
    raw = (saved / "indices.npy").read_bytes()
    at = raw.index(b"'shape': (") + len(b"'shape': (")
    for shape in (b"99999999999999,", b"1,", b"0,", b"-1,"):
        changed = raw[:at] + shape + raw[raw.index(b")", at) :]
        (saved / "indices.npy").write_bytes(changed)
        forge(saved)
        with pytest.raises(GraphRecError, match=r"indices\.npy"):
            open_graph(saved)


def test_an_object_array_is_not_unpickled(saved: Path) -> None:
    np.save(saved / "indices.npy", np.array([print, 1], dtype=object), allow_pickle=True)
    forge(saved)
    with pytest.raises(GraphRecError, match=r"indices\.npy: expected int32 or int64"):
        open_graph(saved)


@pytest.mark.parametrize("name", ["../up", "/etc/passwd", "a/b", "a\\b", "..", "", ".", "a\x00b"])
def test_names_lead_nowhere(saved: Path, toy_graph: Graph, name: str, tmp_path: Path) -> None:
    header = json.loads((saved / "graph.json").read_text())
    text = json.dumps(header["schema"]).replace('"tag"', json.dumps(name))
    forge(saved, schema=json.loads(text), nodes={**header["nodes"], name: 1})
    with pytest.raises(GraphRecError, match="a name that a file can have"):
        open_graph(saved)


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ({"edge_ids": 10**20}, "edge_ids"),
        ({"edge_ids": -1}, "edge_ids"),
        ({"edge_ids": 3}, "edge ids"),
        ({"edge_offset": {"rates": 1000}}, "edge ids"),
        ({"edge_offset": {"nothing": 0}}, "relations of the graph"),
        ({"edge_tables": ["../up"]}, "relations of the graph"),
        ({"arrays": ["offset"]}, "arrays"),
        ({"arrays": ["../../etc/passwd"]}, "arrays"),
        ({"nodes": {"user": 10}}, "as many nodes"),
        ({"edges": {"rates": 1}}, "numbers, got"),
        ({"provenance": []}, "provenance"),
        ({"fingerprint": 3}, "fingerprint"),
        ({"schema": {"nodes": 3}}, "schema"),
        ({"also": 1}, "also 'also'"),
    ],
)
def test_headers_of_another_kind(saved: Path, header: dict[str, Any], message: str) -> None:
    forge(saved, **header)
    with pytest.raises(GraphRecError, match=message):
        open_graph(saved)


def test_tables_of_another_height(saved: Path, toy_graph: Graph) -> None:
    for kind, name in (("nodes", "item"), ("edges", "rates")):
        path = saved / kind / f"{name}.arrow"
        table = pl.read_ipc(path.read_bytes())
        table.head(1).write_ipc(path)
        forge(saved)
        opened = open_graph(saved)
        with pytest.raises(GraphRecError, match=rf"{name}\.arrow: expected"):
            (opened.tables if kind == "nodes" else opened.edge_tables)[name]
    items = saved / "nodes" / "item.arrow"
    toy_graph.tables["item"].drop("title").write_ipc(items)
    with pytest.raises(GraphRecError, match="with the column 'title'"):
        open_graph(saved).tables["item"]


def test_a_table_with_a_wild_offset_is_refused(saved: Path) -> None:
    """A view of a long text beyond its buffer: polars' own reader of mapped files follows it."""
    path = saved / "nodes" / "item.arrow"
    table = pl.read_ipc(path.read_bytes())
    table = table.with_columns(title=pl.Series(["a title of many letters"] * len(table)))
    table.write_ipc(path)
    raw = bytearray(path.read_bytes())
    at = raw.index(b"a ti")  # the prefix inside the first view: length, prefix, buffer, offset
    raw[at + 8 : at + 12] = (2**30).to_bytes(4, "little")
    path.write_bytes(raw)
    forge(saved)
    with pytest.raises(GraphRecError, match=r"item\.arrow: expected an Arrow file"):
        open_graph(saved).title(4)


def test_files_are_checked_once_in_a_process(
    saved: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    open_graph(saved)
    checked = []
    monkeypatch.setattr(store, "_check_arrays", lambda who, graph: checked.append(who))
    open_graph(saved)
    assert checked == []
    put(saved, "weight", 0, 4.5)  # written again: another time
    forge(saved)
    open_graph(saved)
    assert len(checked) == 1
    shutil.copytree(saved, tmp_path / "copy")
    open_graph(tmp_path / "copy")
    assert len(checked) == 2


def test_verify_compares_the_content(saved: Path) -> None:
    open_graph(saved, verify=True)
    put(saved, "weight", 0, 1.25)
    forge(saved)
    open_graph(saved)  # a forger can make everything fit but the fingerprint
    with pytest.raises(GraphRecError, match="the content of fingerprint"):
        open_graph(saved, verify=True)


def test_a_graph_that_leads_astray_is_not_saved(toy_graph: Graph, tmp_path: Path) -> None:
    indices = toy_graph.csr.indices.clone()
    indices[0] = 99
    astray = replace(toy_graph, csr=replace(toy_graph.csr, indices=indices))
    with pytest.raises(GraphRecError, match="ids of the targets"):
        save_graph(astray, tmp_path / "toy")
    assert not (tmp_path / "toy").exists()


def test_every_change_of_a_byte_changes_the_checksum() -> None:
    """Each length around the words and lanes, each byte of it, and the order of words."""
    rng = np.random.default_rng(0)
    for length in [*range(1, 70), 1000]:
        content = rng.integers(0, 256, length, dtype=np.uint8)
        sums = {checksum(content), checksum(content[:-1].copy())}
        for place in range(length):
            content[place] ^= 1 << int(rng.integers(8))
            sums.add(checksum(content))
            content[place] ^= 0
        assert len(sums) == length + 2 or length == 1
    words = np.arange(8, dtype=np.uint64)
    swapped = words[[4, 1, 2, 3, 0, 5, 6, 7]].copy()
    assert checksum(words.view(np.uint8)) != checksum(swapped.view(np.uint8))
    zeros = {checksum(np.zeros(n, np.uint8)) for n in range(100)}
    assert len(zeros) == 100

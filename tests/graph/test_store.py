import errno
import json
import pickle
import subprocess
import sys
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.graph.assemble import EdgeList, assemble
from graphrec_pt.graph.graph import Graph
from graphrec_pt.graph.schema import NodeType, Relation, Schema
from graphrec_pt.graph.split import keep_edges
from graphrec_pt.graph.store import open_graph, save_graph


def same_graph(one: Graph, two: Graph) -> bool:
    arrays = all(
        (a is None and b is None) or (a.dtype == b.dtype and torch.equal(a, b))
        for f in fields(one.csr)
        for a, b in [(getattr(one.csr, f.name), getattr(two.csr, f.name))]
    )
    tables = all(one.tables[n].equals(two.tables[n]) for n in one.schema.node_names)
    extra = all(one.edge_tables[n].equals(two.edge_tables[n]) for n in one.edge_tables)
    return arrays and tables and extra and one.schema == two.schema


def shuffled(graph: Graph, seed: int) -> Graph:
    """The same content from edge rows in another order."""
    edges = {}
    for relation in graph.schema.relations:
        if relation.backward:
            continue
        found = graph.edges(relation.name)
        rows = np.random.default_rng(seed).permutation(len(found.source))
        listed = EdgeList(
            (found.source - graph.nodes(relation.source).start).numpy(),
            (found.target - graph.nodes(relation.target).start).numpy(),
            None if found.time is None else found.time.numpy(),
            None if found.weight is None else found.weight.numpy(),
            graph.edge_tables.get(relation.name),
        )
        edges[relation.name] = listed.take(rows)
    counts = [graph.num_nodes(name) for name in graph.schema.node_names]
    made = assemble(graph.schema, counts, edges)
    return replace(
        graph,
        csr=made.csr,
        edge_tables=made.edge_tables,
        edge_offset=made.edge_offset,
        edge_ids=made.edge_ids,
    )


def test_round_trip_keeps_everything(toy_graph: Graph, tmp_path: Path) -> None:
    saved = save_graph(toy_graph, tmp_path / "toy")
    opened = open_graph(str(tmp_path / "toy"))
    assert same_graph(toy_graph, saved)
    assert same_graph(toy_graph, opened)
    assert opened.edge_offset == toy_graph.edge_offset
    assert opened.provenance == {"seed": 1}
    assert opened.folder == tmp_path / "toy"
    assert opened.raw_id(4) == "ink"
    assert list(tmp_path.iterdir()) == [tmp_path / "toy"]  # no scratch folder stays


def test_large_arrays_are_mapped_not_read(tmp_path: Path) -> None:
    schema = Schema(
        nodes=(NodeType(name="n"),), relations=(Relation(name="r", source="n", target="n"),)
    )
    rng = np.random.default_rng(0)
    made = assemble(schema, [1000], {"r": EdgeList(*rng.integers(0, 1000, (2, 9000)))})
    table = pl.DataFrame({"id": [str(i) for i in range(1000)]})
    opened = save_graph(Graph(schema, made.csr, {"n": table}), tmp_path / "g")
    last = int(opened.csr.indices[-1])
    for value in (123, last):  # a mapped array sees the file
        with (tmp_path / "g" / "indices.npy").open("r+b") as file:
            file.seek(-4, 2)
            file.write(np.int32(value).tobytes())
        assert int(opened.csr.indices[-1]) == value
    opened.csr.indices[0] = 5  # copy on write: the file keeps its content
    assert int(open_graph(tmp_path / "g").csr.indices[0]) == int(made.csr.indices[0])


@pytest.mark.parametrize("existing", [False, True])
def test_full_disk_leaves_what_was_there(
    toy_graph: Graph, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, existing: bool
) -> None:
    folder = tmp_path / "toy"
    if existing:
        save_graph(toy_graph, folder)
    write, written = np.save, []

    def full_after_three(path: Path, array: np.ndarray) -> None:
        if len(written) == 3:
            raise OSError(errno.ENOSPC, "No space left on device")
        written.append(path)
        write(path, array)

    with monkeypatch.context() as patch:
        patch.setattr(np, "save", full_after_three)
        with pytest.raises(GraphRecError, match="No space left on device"):
            save_graph(shuffled(toy_graph, 0), folder)
    assert len(written) == 3
    assert list(tmp_path.iterdir()) == ([folder] if existing else [])
    if existing:
        assert same_graph(open_graph(folder), toy_graph)


def test_a_killed_save_leaves_no_graph(toy_graph: Graph, tmp_path: Path) -> None:
    """A child process dies in the middle of a save, without running any handler."""
    code = f"""
import os, numpy as np
from graphrec_pt.graph.schema import NodeType, Relation, Schema
from graphrec_pt.graph.store import open_graph, save_graph
graph = open_graph({str(tmp_path / "toy")!r})
write = np.save
def die(path, array):
    write(path, array)
    if path.name == "segment.npy":
        os._exit(9)
np.save = die
save_graph(graph, {str(tmp_path / "copy")!r})
"""
    save_graph(toy_graph, tmp_path / "toy")
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 9
    assert not (tmp_path / "copy").exists()
    assert same_graph(open_graph(tmp_path / "toy"), toy_graph)
    save_graph(toy_graph, tmp_path / "copy")  # and the next try succeeds
    assert same_graph(open_graph(tmp_path / "copy"), toy_graph)


def test_saving_again_replaces_the_graph(toy_graph: Graph, tmp_path: Path) -> None:
    save_graph(toy_graph, tmp_path / "toy")
    other = replace(toy_graph, provenance={"seed": 2})
    assert save_graph(other, tmp_path / "toy").provenance == {"seed": 2}
    assert list(tmp_path.iterdir()) == [tmp_path / "toy"]


def test_a_folder_of_other_files_is_not_touched(toy_graph: Graph, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(GraphRecError, match="other files"):
        save_graph(toy_graph, tmp_path)
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


def test_a_file_in_the_way_is_told(toy_graph: Graph, tmp_path: Path) -> None:
    (tmp_path / "toy").write_text("a file")
    with pytest.raises(GraphRecError, match="toy"):
        save_graph(toy_graph, tmp_path / "toy")


def _lose(name: str):  # type: ignore[no-untyped-def]
    return lambda folder: (folder / name).unlink()


def _header(**change: object):  # type: ignore[no-untyped-def]
    def damage(folder: Path) -> None:
        header = json.loads((folder / "graph.json").read_text())
        for name, value in change.items():
            if value is None:
                del header[name]
            else:
                header[name] = value
        (folder / "graph.json").write_text(json.dumps(header))

    return damage


def _cut(name: str):  # type: ignore[no-untyped-def]
    def damage(folder: Path) -> None:
        content = (folder / name).read_bytes()
        (folder / name).write_bytes(content[: len(content) // 2])

    return damage


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_lose("graph.json"), "graph.json"),
        (_lose("indices.npy"), r"indices\.npy: expected an array of the graph"),
        (_lose("segment.npy"), r"segment\.npy"),
        (_lose("time.npy"), r"time\.npy"),
        (_cut("indices.npy"), r"indices\.npy"),
        (_cut("graph.json"), "JSON"),
        (_header(format=99), "graph format 1, got 99"),
        (_header(format=None), "graph format 1"),
        (_header(schema=None), "the content that was saved"),
        (_header(schema={"nodes": 3}), "the content that was saved"),
        (lambda folder: (folder / "graph.json").write_text("[1]"), "graph.json"),
        (lambda folder: (folder / "graph.json").write_bytes(b"\xff\xfe\x00"), "UTF-8 text, got"),
    ],
)
def test_damage_is_told_in_one_line(toy_graph: Graph, tmp_path: Path, damage, message: str) -> None:  # type: ignore[no-untyped-def]
    save_graph(toy_graph, tmp_path / "toy")
    damage(tmp_path / "toy")
    with pytest.raises(GraphRecError, match=message) as caught:
        open_graph(tmp_path / "toy")
    assert "\n" not in str(caught.value)


def test_a_damaged_table_is_told_when_it_is_read(toy_graph: Graph, tmp_path: Path) -> None:
    save_graph(toy_graph, tmp_path / "toy")
    (tmp_path / "toy" / "nodes" / "user.arrow").write_bytes(b"not arrow")
    with pytest.raises(GraphRecError, match=r"user\.arrow"):
        open_graph(tmp_path / "toy").raw_id(0)


def test_a_missing_folder_is_told(tmp_path: Path) -> None:
    with pytest.raises(GraphRecError, match="graphrec data build"):
        open_graph(tmp_path / "nothing")


def test_a_graph_rebuilt_meanwhile_is_told(toy_graph: Graph, tmp_path: Path) -> None:
    """Old adjacency with new columns would be nonsense."""
    opened = save_graph(toy_graph, tmp_path / "g")
    travelling = pickle.dumps(opened)
    assert pickle.loads(travelling).fingerprint == opened.fingerprint
    save_graph(shuffled(toy_graph, 0), tmp_path / "g")  # the same content: nothing changes
    assert opened.raw_id(0) == toy_graph.raw_id(0)
    kept = torch.zeros(toy_graph.num_edge_ids, dtype=torch.bool)
    save_graph(keep_edges(toy_graph, kept), tmp_path / "g")
    assert opened.num_edges() == toy_graph.num_edges()  # arrays that are open stay what they were
    with pytest.raises(GraphRecError, match="opened from it"):
        opened.tables["brand"]
    with pytest.raises(GraphRecError, match="opened from it"):
        pickle.loads(travelling)


def test_a_failed_swap_puts_the_old_graph_back(
    toy_graph: Graph, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_graph(toy_graph, tmp_path / "g")
    rename = Path.rename

    def refused(path: Path, target: Path) -> Path:
        if path.name == "made":
            raise OSError(errno.EBUSY, "Device or resource busy")
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", refused)
    with pytest.raises(GraphRecError, match="resource busy"):
        save_graph(toy_graph, tmp_path / "g")
    assert open_graph(tmp_path / "g").num_edges() == toy_graph.num_edges()
    assert [p.name for p in tmp_path.iterdir()] == ["g"]

import os
import subprocess
import sys
from collections import Counter
from importlib.machinery import ModuleSpec
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.data.convert import from_dgl, import_dgl, to_dgl
from graphrec_pt.data.convert.dgl import _graphbolt_fits
from graphrec_pt.graph.graph import Graph

try:
    dgl = import_dgl()
except GraphRecError as error:
    pytest.skip(str(error), allow_module_level=True)


def test_counts_of_every_type(toy_graph: Graph) -> None:
    made = to_dgl(toy_graph)
    assert {n: made.num_nodes(n) for n in made.ntypes} == {
        "user": 3,
        "item": 4,
        "brand": 2,
        "tag": 1,
    }
    for relation in toy_graph.schema.relations:
        kind = (relation.source, relation.name, relation.target)
        assert made.num_edges(kind) == toy_graph.num_edges(relation.name)
        assert torch.equal(made.out_degrees(etype=kind), toy_graph.degree(relation.name))


def test_features(toy_graph: Graph) -> None:
    made = to_dgl(toy_graph)
    assert [end.tolist() for end in made.edges(etype="rates")] == [
        [0, 0, 0, 1, 1, 1],
        [0, 1, 1, 0, 1, 3],
    ]
    assert made.edges["rates"].data["time"].tolist() == [10, 30, 40, 20, 20, 50]
    assert made.edges["rates"].data["weight"].tolist() == [4, 5, 3, 1, 2, 5]
    assert made.nodes["user"].data["club"].tolist() == [0, 1, -1]
    assert made.nodes["item"].data["look"].shape == (4, 2)
    assert "title" not in made.nodes["item"].data


def test_round_trip(toy_graph: Graph) -> None:
    back = from_dgl(to_dgl(toy_graph), tables=toy_graph.tables, interactions=["rates"])
    assert back.schema.node_names == toy_graph.schema.node_names
    assert set(back.schema.relation_names) == set(toy_graph.schema.relation_names)
    assert back.schema.relation("rates").inverse == "rated_by"
    for name in toy_graph.schema.relation_names:
        mine, theirs = toy_graph.edges(name), back.edges(name)
        assert torch.equal(mine.source, theirs.source)
        assert torch.equal(mine.target, theirs.target)
        for one, two in ((mine.time, theirs.time), (mine.weight, theirs.weight)):
            assert (one is None and two is None) or torch.equal(one, two)
    assert back.title(3) == "A pen"


def test_a_foreign_graph_keeps_its_edges() -> None:
    rng = np.random.default_rng(0)
    ends = torch.from_numpy(rng.integers(0, 15, (2, 60)))
    made = dgl.heterograph(
        {("a", "x", "a"): (ends[0], ends[1]), ("a", "y", "b"): (ends[0], ends[1])},
        num_nodes_dict={"a": 20, "b": 16},
    )
    made.edges["y"].data["score"] = torch.rand(60)
    made.nodes["b"].data["h"] = torch.rand(16, 4)
    graph = from_dgl(made)
    assert graph.schema.node("b").columns == {"h": "vector"}
    assert graph.raw_id(graph.nodes("b").start + 3) == "3"
    edges = graph.edges("y")
    pairs = zip(edges.source.tolist(), (edges.target - 20).tolist(), strict=True)
    assert Counter(pairs) == Counter(map(tuple, ends.T.tolist()))
    scores = sorted(graph.edge_tables["y"]["score"].to_list())
    assert scores == sorted(made.edges["y"].data["score"].tolist())


def test_walks_of_dgl_stay_in_the_graph(toy_graph: Graph) -> None:
    walks, _ = dgl.sampling.random_walk(
        to_dgl(toy_graph), torch.tensor([0, 1] * 20), metapath=["rates", "made_by", "makes"]
    )
    for user, item, brand, other in walks.tolist():
        assert item + 3 in toy_graph.neighbors(user, "rates")
        if brand < 0:
            assert item == 3  # the mug has no brand
        else:
            assert other + 3 in toy_graph.neighbors(brand + 7, "makes")


@pytest.mark.parametrize("first", ["", "try:\n import dgl\nexcept ImportError:\n pass\n"])
def test_the_import_leaves_no_trace(tmp_path: Path, first: str) -> None:
    """In a fresh process and an empty home, also after a plain import that failed."""
    code = f"""
import os, sys
os.environ["DGLDEFAULTDIR"] = {str(tmp_path / "plain")!r}
{first}
os.environ["DGLDEFAULTDIR"] = {str(tmp_path / "shim")!r}
from graphrec_pt.data.convert import import_dgl
before, known = dict(os.environ), set(sys.modules)
dgl = import_dgl()
assert import_dgl() is dgl
assert dict(os.environ) == before
assert "setuptools.extern" not in set(sys.modules) - known
assert dgl.graph(([0], [1])).num_edges() == 1
"""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        capture_output=True,
        text=True,
        check=False,
        env=_without_backend(),
    )
    assert done.returncode == 0, done.stderr
    if not first:
        assert done.stdout + done.stderr == ""
    assert not (tmp_path / "shim").exists()


def _without_backend() -> dict[str, str]:
    return {k: v for k, v in os.environ.items() if k != "DGLBACKEND"}


def test_a_missing_dgl_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "dgl")
    monkeypatch.setattr("graphrec_pt.data.convert.dgl.find_spec", lambda name: None)
    with pytest.raises(GraphRecError, match=r"pip install 'graphrec-pt\[dgl\]'"):
        import_dgl()


@pytest.mark.parametrize(
    ("library", "loader", "fits"),
    [
        (None, False, True),  # a DGL without GraphBolt needs no stub
        ("0.0.1", True, False),  # built for another torch
        (torch.__version__.split("+")[0], True, True),
        (torch.__version__.split("+")[0], False, False),  # its data loader is gone
    ],
)
def test_a_dgl_that_fits_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, library: str | None, loader: bool, fits: bool
) -> None:
    if library is not None:
        (tmp_path / "graphbolt").mkdir()
        (tmp_path / "graphbolt" / f"libgraphbolt_pytorch_{library}.so").touch()
    found = ModuleSpec("torchdata.datapipes", None) if loader else None
    monkeypatch.setattr("graphrec_pt.data.convert.dgl.find_spec", lambda name: found)
    spec = ModuleSpec("dgl", None, origin=str(tmp_path / "__init__.py"))
    assert _graphbolt_fits(spec) is fits


def test_ids_times_and_weights_of_other_names() -> None:
    made = dgl.heterograph({("u", "to", "i"): ([0, 1, 1], [0, 0, 1])}, idtype=torch.int32)
    made.nodes["u"].data["id"] = torch.tensor([7, 9])
    made.edges["to"].data["timestamp"] = torch.tensor([3.0, 2.0, 1.0])
    made.edges["to"].data["edge_weight"] = torch.tensor([[1.0], [2.0], [3.0]])
    made.edges["to"].data["image"] = torch.rand(3, 2, 2)
    graph = from_dgl(made)
    assert [graph.raw_id(node) for node in graph.nodes("u")] == ["7", "9"]
    edges = graph.edges("to")
    assert edges.time is not None
    assert edges.weight is not None
    assert (edges.time.tolist(), edges.weight.tolist()) == ([3, 1, 2], [1.0, 3.0, 2.0])
    assert graph.provenance["notes"] == ["u–to–i: left out image; no column of 3 rows"]


def test_what_dgl_cannot_give_is_told() -> None:
    made = dgl.heterograph({("u", "to", "i"): ([0, 1, 1], [0, 0, 1])})
    with pytest.raises(GraphRecError, match="no block, got a block"):
        from_dgl(dgl.to_block(made))
    with pytest.raises(GraphRecError, match="no block, got dict"):
        from_dgl({})
    tables = {"u": pl.DataFrame({"id": ["a"]})}
    with pytest.raises(GraphRecError, match=r"expected 2 rows.*got 1 row$"):
        from_dgl(made, tables=tables)
    made.edges["to"].data["time"] = torch.tensor([0.5, 1, 2])
    with pytest.raises(GraphRecError, match="expected integers"):
        from_dgl(made)

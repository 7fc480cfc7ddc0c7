"""Histories of held-out groups: the last event is predicted, few training sources are kept."""

from typing import Any

import polars as pl
import pytest

from graphrec_pt.data.build import build
from graphrec_pt.graph.graph import Graph
from graphrec_pt.graph.split import split

PLAN: dict[str, Any] = {
    "nodes": {"code": {}, "name": {}, "project": {}},
    "edges": {
        "calls": {"table": "t", "source": "code.f", "target": "name.a", "time": "n",
                  "interaction": True},
        "in_project": {"table": "t", "source": "code.f", "target": "project.p",
                       "duplicates": "first"},
    },
}  # fmt: skip


@pytest.fixture(scope="module")
def graph() -> Graph:
    rows = [
        {"f": f"f{p}-{f}", "p": f"p{p}", "a": f"a{n}", "n": n}
        for p in range(30)
        for f in range(4)
        for n in range(1 + f)
    ]
    return build(PLAN, {"t": pl.DataFrame(rows)}, seed=None)


@pytest.mark.parametrize("share", [1.0, 0.3])
def test_other_projects_are_tested_and_few_functions_are_kept(graph: Graph, share: float) -> None:
    options = {"by": "in_project", "valid": 0.0, "test": 0.4, "share": share}
    cut = split(graph, {"name": "group_histories", **options})
    tested = {graph.raw_id(u) for u in cut.test.source.tolist()}
    projects = {name.split("-")[0] for name in tested}
    assert 5 < len(projects) < 20
    assert tested == {f"{p}-{f}" for p in projects for f in (1, 2, 3)}  # functions of two calls
    for u, v in zip(cut.test.source.tolist(), cut.test.target.tolist(), strict=True):
        assert graph.raw_id(v) == f"a{graph.raw_id(u)[-1]}"  # the last call
    known = {graph.raw_id(u) for u in cut.train.edges("calls").source.tolist()}
    assert not {name.split("-")[0] for name in known} & projects
    rest = 4 * (30 - len(projects))
    assert len(known) == rest if share == 1 else 0 < len(known) < rest / 2
    seen = cut.history("test").edges("calls")
    pairs = {(graph.raw_id(u), graph.raw_id(v)) for u, v in zip(seen.source.tolist(),
             seen.target.tolist(), strict=True)}  # fmt: skip
    some = next(name for name in sorted(tested) if name.endswith("-3"))
    assert {v for u, v in pairs if u == some} == {"a0", "a1", "a2"}

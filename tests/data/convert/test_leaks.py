"""No bridge brings a held-out pair back: graphs of chance, and a check that goes edge by edge.

What PyG, DGL, networkx, scipy and RecBole hand over is what people had when held-out edges leaked
(pytorch_geometric#7281, #9425, dgl#5536, CogDL#18).
"""

import tempfile
from collections.abc import Callable, Iterable
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.data.build import build
from graphrec_pt.data.convert import (
    from_dgl,
    from_pyg,
    from_recbole,
    import_dgl,
    to_networkx,
    to_recbole,
    to_scipy,
)
from graphrec_pt.data.describe import describe
from graphrec_pt.graph.graph import Graph
from graphrec_pt.graph.split import Split, split

HeteroData = pytest.importorskip("torch_geometric.data").HeteroData
transforms = pytest.importorskip("torch_geometric.transforms")
Pair = tuple[int, int]
Events = list[tuple[int, int]]

EVENTS = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=5, max_size=40)
PROTOCOLS = st.sampled_from(
    [
        {"name": "leave_one_out"},
        {"name": "ratio", "valid": 0.2, "test": 0.3},
        {"name": "ratio", "shuffle": True},
        {"name": "global_time", "valid": 0.2, "test": 0.2},
        {"name": "cold_users", "valid": 0.2, "test": 0.2},
        {"name": "cold_items", "valid": 0.2, "test": 0.2},
        {"name": "groups", "valid": 0.2, "test": 0.2},
    ]
)


def pairs(graph: Graph, relation: str) -> set[Pair]:
    """Return the pairs of a relation, one edge after the other, the lower node first."""
    edges = graph.edges(relation)
    ends = zip(edges.source.tolist(), edges.target.tolist(), strict=True)
    return {(min(a, b), max(a, b)) for a, b in ends}


def leaks(cut: Split, view: Graph, predicted: str) -> dict[str, set[Pair]]:
    """Return for each other relation the pairs that a view hides in the predicted one and shows."""
    hidden = pairs(cut.graph, predicted) - pairs(view, predicted)
    relation = cut.graph.schema.relation(predicted)
    beside = [
        r.name
        for r in view.schema.relations
        if {r.source, r.target} == {relation.source, relation.target} and not r.derived
    ]
    found = {name: pairs(view, name) & hidden for name in beside}
    return {name: shown for name, shown in found.items() if shown}


def check(graph: Graph, how: dict[str, Any], *, copy: bool) -> None:
    """A pair that is hidden is shown nowhere, or is counted in a warning that names the relation.

    Args:
        graph: With a relation "rates" that is predicted, and others.
        how: The protocol.
        copy: Whether the others are copies, in which nothing may be shown.
    """
    try:
        cut = split(graph, {"relation": "rates", **how})
    except GraphRecError as error:
        assert "to train on" in str(error)  # noqa: PT017
        return
    views = [cut.train, cut.history("valid"), cut.history("test")]
    leaking = [leaks(cut, view, "rates") for view in views]
    if copy:
        assert leaking == [{}, {}, {}]
    for name in {name for view in leaking for name in view}:
        shown = set().union(*(view.get(name, set()) for view in leaking))
        inverse = cut.graph.schema.relation(name).inverse
        told = [w for w in cut.warnings if w.split(":")[0] in (name, inverse)]
        assert any(f"shows {len(shown):,} of" in sentence for sentence in told)
        assert all(set(told) <= set(describe(view).warnings) for view in views)
    for view in views:
        networkx = to_networkx(view, inverses=True)
        ends = {(min(a, b), max(a, b)) for a, b in networkx.edges()}
        hidden = pairs(cut.graph, "rates") - pairs(view, "rates")
        shown = set().union(set(), *leaks(cut, view, "rates").values())
        assert ends & hidden == shown
        for relation in view.schema.relations:
            matrix = to_scipy(view, relation.name).tocoo()
            starts = view.nodes(relation.source).start, view.nodes(relation.target).start
            rows = zip((matrix.row + starts[0]).tolist(), (matrix.col + starts[1]).tolist())  # noqa: B905
            assert {(min(p), max(p)) for p in rows} == pairs(view, relation.name)


@st.composite
def mirrors(draw: st.DrawFn) -> tuple[Events, list[int], list[int]]:
    """Draw events, which of them the mirror holds (nearly all), and which it holds twice."""
    events = draw(EVENTS)
    order = draw(st.permutations(range(len(events))))
    lost = draw(st.integers(0, len(events) // 20))
    twice = draw(st.lists(st.sampled_from(range(len(events))), max_size=3))
    return events, list(order)[lost:], twice


def index(ends: Iterable[tuple[int, int]]) -> torch.Tensor:
    return torch.tensor(list(ends), dtype=torch.int64).reshape(-1, 2).T.contiguous()


@settings(max_examples=60, deadline=None)
@given(mirrors(), PROTOCOLS, st.booleans(), st.booleans(), st.sampled_from(["rev_rates", "x"]))
def test_a_mirror_of_pyg_shows_nothing(
    drawn: tuple[Events, list[int], list[int]],
    how: dict[str, Any],
    weighted: bool,
    timed: bool,
    name: str,
) -> None:
    events, kept, twice = drawn
    data = HeteroData()
    data["user"].num_nodes, data["item"].num_nodes = 7, 7
    data["user", "rates", "item"].edge_index = index(events)
    data["user", "rates", "item"].time = torch.arange(len(events))
    back = data["item", name, "user"]
    back.edge_index = index((events[n][1], events[n][0]) for n in [*kept, *twice])
    if weighted:
        back.edge_weight = torch.rand(len(kept) + len(twice))
    if timed:
        back.time = torch.tensor([*kept, *twice])
    check(from_pyg(data, interactions=["rates"]), how, copy=True)


@settings(max_examples=60, deadline=None)
@given(EVENTS, EVENTS, PROTOCOLS, st.booleans(), st.booleans())
def test_any_relation_of_pyg_hides_or_tells(
    events: Events, others: Events, how: dict[str, Any], back: bool, timed: bool
) -> None:
    data = HeteroData()
    data["user"].num_nodes, data["item"].num_nodes = 7, 7
    data["user", "rates", "item"].edge_index = index(events)
    if timed:
        data["user", "rates", "item"].time = torch.arange(len(events)) // 2
    kind = ("item", "other", "user") if back else ("user", "other", "item")
    data[kind].edge_index = index((b, a) for a, b in others) if back else index(others)
    graph = from_pyg(data, interactions=["rates"])
    if not timed and how["name"] == "global_time":
        return
    check(graph, how, copy=False)


@settings(max_examples=40, deadline=None)
@given(mirrors(), PROTOCOLS, st.booleans())
def test_a_mirror_of_dgl_shows_nothing(
    drawn: tuple[Events, list[int], list[int]], how: dict[str, Any], weighted: bool
) -> None:
    try:
        dgl = import_dgl()
    except GraphRecError as error:
        pytest.skip(str(error))
    events, kept, twice = drawn
    ahead, back = index(events), index((events[n][1], events[n][0]) for n in [*kept, *twice])
    made = dgl.heterograph(
        {("user", "rates", "item"): tuple(ahead), ("item", "rated-by", "user"): tuple(back)},
        num_nodes_dict={"user": 7, "item": 7},
    )
    made.edges["rates"].data["timestamp"] = torch.arange(len(events))
    if weighted:
        made.edges["rated-by"].data["weight"] = torch.rand(back.shape[1])
    check(from_dgl(made, interactions=["rates"]), how, copy=True)


FRIENDS = st.lists(
    st.tuples(st.integers(0, 6), st.integers(0, 6)).filter(lambda p: p[0] != p[1]),
    min_size=5,
    max_size=30,
)


@settings(max_examples=60, deadline=None)
@given(FRIENDS, PROTOCOLS, st.booleans(), st.booleans())
def test_an_undirected_relation_shows_no_pair_backwards(
    friends: Events, how: dict[str, Any], timed: bool, homogeneous: bool
) -> None:
    """What ``ToUndirected`` makes of one node type: both directions in one relation."""
    data = HeteroData()
    data["user"].num_nodes = 7
    data["user", "rates", "user"].edge_index = index(friends)
    if timed:
        data["user", "rates", "user"].time = torch.arange(len(friends))
    whole: Any = transforms.ToUndirected()(data)
    if homogeneous:
        whole = whole.to_homogeneous()
        del whole.edge_type
        graph = from_pyg(whole, interactions=["to"])
        relation = "to"
    else:
        graph = from_pyg(whole, interactions=["rates"])
        relation = "rates"
    if not timed and how["name"] == "global_time":
        return
    try:
        cut = split(graph, {"relation": relation, **how})
    except GraphRecError as error:
        assert "to train on" in str(error)  # noqa: PT017
        return
    for view, targets in ((cut.train, [cut.valid, cut.test]), (cut.history("test"), [cut.test])):
        shown = view.edges(relation)
        seen = set(zip(shown.source.tolist(), shown.target.tolist(), strict=True))
        for each in targets:
            for a, b in zip(each.source.tolist(), each.target.tolist(), strict=True):
                assert (b, a) not in seen or (a, b) in seen


@settings(max_examples=25, deadline=None)
@given(mirrors(), PROTOCOLS)
def test_a_mirror_in_recbole_files_shows_nothing(
    drawn: tuple[Events, list[int], list[int]], how: dict[str, Any]
) -> None:
    events, kept, twice = drawn
    ends = {"source": "user.u", "target": "item.i"}
    plan = {
        "nodes": {"user": {}, "item": {}},
        "edges": {
            "rates": {"table": "t", **ends, "time": "time", "interaction": True},
            "also": {"table": "m", **ends, "duplicates": "keep"},
        },
    }
    user, item = ([event[side] for event in events] for side in (0, 1))
    chosen = [*kept, *twice]
    tables = {
        "t": {"u": user, "i": item, "time": range(len(events))},
        "m": {"u": [user[n] for n in chosen], "i": [item[n] for n in chosen]},
    }
    with tempfile.TemporaryDirectory() as folder:
        files = to_recbole(build(plan, tables), Path(folder) / "toy")
        graph = from_recbole(files, relation="rates")
    complete = len(set(events)) == graph.num_nodes("user") * graph.num_nodes("item")
    check(graph, how, copy=not complete or not set(range(len(events))) - set(kept))


def plain(edit: Callable[[Any], Any] = lambda data: data) -> Any:
    """Return case 01's data: three users, each with three timed ratings."""
    data = HeteroData()
    data["user"].num_nodes, data["item"].num_nodes = 4, 5
    ends = torch.tensor([[0, 0, 0, 1, 1, 1, 2, 2, 2], [0, 1, 2, 1, 2, 3, 2, 3, 4]])
    data["user", "rates", "item"].edge_index = ends
    data["user", "rates", "item"].time = torch.arange(9)
    edit(data)
    return data


def coalesced(data: Any) -> None:
    store = data["user", "rates", "item"]
    ends = store.edge_index
    store.edge_index, store.time = torch.cat([ends, ends[:, :1]], 1), torch.arange(10)
    data["item", "rev_rates", "user"].edge_index = ends.flip(0)


def reweighted(data: Any) -> None:
    data["user", "rates", "item"].edge_weight = torch.ones(9)
    data["item", "rev_rates", "user"].edge_index = data["user", "rates", "item"].edge_index.flip(0)
    data["item", "rev_rates", "user"].edge_weight = torch.full((9,), 0.3)


def one_more(data: Any) -> None:
    ends = data["user", "rates", "item"].edge_index.flip(0)
    data["item", "rev_rates", "user"].edge_index = torch.cat([ends, torch.tensor([[0], [3]])], 1)


def self_named(data: Any) -> None:
    data["item", "seen_by", "user"].edge_index = data["user", "rates", "item"].edge_index.flip(0)
    data["item", "seen_by", "user"].time = torch.arange(9) * 1000  # in another unit


@pytest.mark.parametrize("edit", [coalesced, reweighted, one_more, self_named])
def test_a_reverse_relation_that_is_no_exact_mirror(edit: Callable[[Any], None]) -> None:
    """Case 01."""
    graph = from_pyg(plain(edit), interactions=["rates"])
    for how in ("leave_one_out", {"name": "ratio", "valid": 0.34, "test": 0.34}):
        cut = split(graph, how)
        assert leaks(cut, cut.train, "rates") == {}
        assert leaks(cut, cut.history("test"), "rates") == {}
    other = (
        next(r.name for r in graph.schema.relations if r.name not in ("rates", "rev_rates"))
        if edit is self_named
        else "rev_rates"
    )
    assert any(other in w and "of rates" in w for w in describe(graph).warnings)
    assert any(other in w for w in split(graph).warnings)


def test_a_pair_that_was_bought_before_stays_in_the_mirror() -> None:
    """Its absence there would tell that it is bought again."""
    cut = split(from_pyg(plain(coalesced), interactions=["rates"]))
    user, item = cut.graph.nodes("user").start, cut.graph.nodes("item").start
    assert (user, item) in zip(cut.test.source.tolist(), cut.test.target.tolist(), strict=True)
    assert (user, item) in pairs(cut.train, "rates")
    assert (user, item) in pairs(cut.train, "rev_rates")


def test_names_are_never_used_twice() -> None:
    taken = count()
    data = plain()
    for kind in (("user", "x", "item"), ("item", "x", "user"), ("user", "user_x_item", "user")):
        data[kind].edge_index = torch.tensor([[next(taken) % 3], [1]])
    names = from_pyg(data).schema.relation_names
    assert len(set(names)) == len(names) == 4

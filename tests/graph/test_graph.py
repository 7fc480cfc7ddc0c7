from collections import Counter
from itertools import groupby

import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.data.build import build
from graphrec_pt.graph.assemble import EdgeList, assemble
from graphrec_pt.graph.graph import Graph
from graphrec_pt.graph.schema import NodeType, Relation, Schema


def test_counts_and_id_ranges(toy_graph: Graph) -> None:
    assert [toy_graph.num_nodes(t) for t in ("user", "item", "brand", "tag")] == [3, 4, 2, 1]
    assert toy_graph.num_nodes() == 10
    assert toy_graph.nodes("item") == range(3, 7)
    assert {r: toy_graph.num_edges(r) for r in toy_graph.schema.relation_names} == {
        "rates": 6,
        "rated_by": 6,
        "made_by": 3,
        "makes": 3,
        "follows": 3,
    }
    assert toy_graph.num_edges() == 21


def test_edges_are_sorted_by_source_time_target(toy_graph: Graph) -> None:
    rates = toy_graph.edges("rates")
    assert rates.source.tolist() == [0, 0, 0, 1, 1, 1]
    assert rates.target.tolist() == [3, 4, 4, 3, 4, 6]
    assert rates.time is not None
    assert rates.time.tolist() == [10, 30, 40, 20, 20, 50]
    assert rates.weight is not None
    assert rates.weight.tolist() == [4, 5, 3, 1, 2, 5]
    assert rates.edge.tolist() == [0, 1, 2, 3, 4, 5]
    assert toy_graph.edge_tables["rates"]["device"].to_list() == [
        "app",
        "web",
        "web",
        "tv",
        "app",
        "web",
    ]


def test_inverse_edges_share_ids_times_and_weights(toy_graph: Graph) -> None:
    back = toy_graph.edges("rated_by")
    assert back.source.tolist() == [3, 3, 4, 4, 4, 6]
    assert back.target.tolist() == [0, 1, 1, 0, 0, 1]
    assert back.time is not None
    assert back.time.tolist() == [10, 20, 20, 30, 40, 50]
    assert back.edge.tolist() == [0, 3, 4, 1, 2, 5]
    made = toy_graph.edges("made_by")
    assert made.edge.tolist() == [6, 7, 8]
    assert made.time is None
    assert made.weight is None
    assert toy_graph.edge_offset == {"rates": 0, "made_by": 6, "follows": 9}


def test_degree_and_neighbors(toy_graph: Graph) -> None:
    assert toy_graph.degree("rates").tolist() == [3, 3, 0]
    assert toy_graph.degree("follows").tolist() == [1, 0, 2]
    assert toy_graph.degree("makes").tolist() == [2, 1]
    assert toy_graph.neighbors(2).tolist() == [1, 0]
    assert toy_graph.neighbors(0).tolist() == [3, 4, 4, 1]
    assert toy_graph.neighbors(0, "follows").tolist() == [1]
    assert toy_graph.neighbors(9).tolist() == []
    with pytest.raises(GraphRecError, match="one of rates, follows"):
        toy_graph.neighbors(0, "made_by")


def test_relation_of_every_position(toy_graph: Graph) -> None:
    for name in toy_graph.schema.relation_names:
        found = toy_graph.relation_of(toy_graph.edges(name).position)
        assert set(found.tolist()) == {toy_graph.schema.relation_index(name)}


def test_ids_titles_and_types(toy_graph: Graph) -> None:
    assert [toy_graph.raw_id(node) for node in range(10)] == (
        ["ann", "bob", "cat", "pen", "ink", "cup", "mug", "acme", "zeta", "lonely"]
    )
    assert toy_graph.node_ids("item", ["mug", "no", "pen"]).tolist() == [6, -1, 3]
    assert toy_graph.node_id("brand", "zeta") == 8
    assert toy_graph.title(3) == "A pen"
    assert toy_graph.title(5) == "cup"  # no title: the raw id
    assert toy_graph.title(8) == "zeta"
    assert toy_graph.type_of(9) == "tag"


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda g: g.node_id("item", "pne"), "known item id"),
        (lambda g: g.nodes("itme"), "did you mean 'item'"),
        (lambda g: g.num_edges("rate"), "did you mean 'rates' or 'rated_by'"),
        (lambda g: g.type_of(10), "node below 10"),
        (lambda g: g.title(-1), "node below 10"),
    ],
)
def test_mistakes_are_told_in_one_line(toy_graph: Graph, call, message: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(GraphRecError, match=message) as caught:
        call(toy_graph)
    assert "\n" not in str(caught.value)


def test_repr_names_counts(toy_graph: Graph) -> None:
    assert "item: 4" in repr(toy_graph)
    assert "rates: 6" in repr(toy_graph)
    assert "rated_by" not in repr(toy_graph)


# -- any edge list ---------------------------------------------------------------------------

TWO_TYPES = Schema(
    nodes=(NodeType(name="a"), NodeType(name="b"), NodeType(name="c")),
    relations=(
        Relation(name="timed", source="a", target="b", inverse="back", timed=True, weighted=True),
        Relation(name="loop", source="b", target="b", inverse="pool"),
        Relation(
            name="back",
            source="b",
            target="a",
            inverse="timed",
            backward=True,
            timed=True,
            weighted=True,
        ),
        Relation(name="pool", source="b", target="b", inverse="loop", backward=True),
    ),
)


@st.composite
def random_graph(draw: st.DrawFn) -> tuple[Graph, dict[str, EdgeList], list[int]]:
    counts = [draw(st.integers(0, 6)), draw(st.integers(0, 6)), draw(st.integers(0, 2))]

    def listed(n_source: int, n_target: int, timed: bool) -> EdgeList:
        size = draw(st.integers(0, 20)) if n_source and n_target else 0
        row = st.tuples(
            st.integers(0, max(n_source - 1, 0)),
            st.integers(0, max(n_target - 1, 0)),
            st.integers(-(2**62), 2**62) if draw(st.booleans()) else st.integers(0, 3),
        )
        rows = draw(st.lists(row, min_size=size, max_size=size))
        array = np.array(rows, np.int64).reshape(-1, 3)
        weight = np.arange(len(rows), dtype=np.float32)  # tells parallel edges apart
        label = pl.DataFrame({"weight": weight})
        if timed:
            return EdgeList(array[:, 0], array[:, 1], array[:, 2], weight, label)
        return EdgeList(array[:, 0], array[:, 1])

    edges = {
        "timed": listed(counts[0], counts[1], True),
        "loop": listed(counts[1], counts[1], False),
    }
    made = assemble(TWO_TYPES, counts, edges)
    graph = Graph(TWO_TYPES, made.csr, {}, made.edge_tables, made.edge_offset)
    return graph, edges, counts


@given(random_graph())
def test_edges_give_back_the_edge_list(drawn: tuple[Graph, dict[str, EdgeList], list[int]]) -> None:
    graph, given_edges, counts = drawn
    assert [graph.num_nodes(t) for t in "abc"] == counts
    for name, listed in given_edges.items():
        relation = graph.schema.relation(name)
        edges = graph.edges(name)
        source = edges.source - graph.nodes(relation.source).start
        target = edges.target - graph.nodes(relation.target).start
        found = [source, target] + [c for c in (edges.time, edges.weight) if c is not None]
        wanted = [listed.source, listed.target] + [
            c for c in (listed.time, listed.weight) if c is not None
        ]
        assert Counter(zip(*(c.tolist() for c in found), strict=True)) == Counter(
            zip(*(c.tolist() for c in wanted), strict=True)
        )


@given(random_graph())
def test_every_edge_has_one_inverse(drawn: tuple[Graph, dict[str, EdgeList], list[int]]) -> None:
    graph, _, _ = drawn
    for forward, backward in (("timed", "back"), ("loop", "pool")):
        there, back = graph.edges(forward), graph.edges(backward)
        at = torch.argsort(back.edge)
        assert back.edge[at].tolist() == there.edge.tolist()  # forward edges ascend by edge id
        assert back.source[at].tolist() == there.target.tolist()
        assert back.target[at].tolist() == there.source.tolist()
        for mine, theirs in ((there.time, back.time), (there.weight, back.weight)):
            assert (mine is None) == (theirs is None)
            if mine is not None and theirs is not None:
                assert mine.tolist() == theirs[at].tolist()


@given(random_graph())
def test_segments_ascend_and_cover_the_index_array(
    drawn: tuple[Graph, dict[str, EdgeList], list[int]],
) -> None:
    graph, _, _ = drawn
    seen: list[int] = []
    for relation in graph.schema.relations:
        low, high = graph.segments(relation.name)
        edges = graph.edges(relation.name)
        seen += edges.position.tolist()
        for node, first, last in zip(
            graph.nodes(relation.source), low.tolist(), high.tolist(), strict=True
        ):
            rows = range(first, last)
            keys = [
                (
                    int(graph.csr.time[p]) if relation.timed and graph.csr.time is not None else 0,
                    int(graph.csr.indices[p]),
                )
                for p in rows
            ]
            if relation.timed:
                assert [time for time, _ in keys] == sorted(time for time, _ in keys)
                assert len(list(groupby(keys))) == len(set(keys))  # equal edges side by side
            else:
                assert keys == sorted(keys)
            assert graph.neighbors(node, relation.name).tolist() == [k[1] for k in keys]
            assert (
                all(
                    graph.relation_of(torch.tensor(list(rows)))
                    == graph.schema.relation_index(relation.name)
                )
                if rows
                else True
            )
    assert sorted(seen) == list(range(graph.num_edges()))


@given(random_graph())
def test_edge_columns_follow_their_edges(
    drawn: tuple[Graph, dict[str, EdgeList], list[int]],
) -> None:
    graph, _, _ = drawn
    edges = graph.edges("timed")
    rows = (edges.edge - graph.edge_offset["timed"]).numpy()
    assert edges.weight is not None
    assert graph.edge_tables["timed"]["weight"].to_numpy()[rows].tolist() == edges.weight.tolist()


def test_raw_ids_may_be_numbers() -> None:
    plan = {
        "nodes": {"user": {}, "item": {}},
        "edges": {"buys": {"table": "t", "source": "user.u", "target": "item.i"}},
    }
    graph = build(plan, {"t": {"u": [-1, 7, 8], "i": [1, 2, 3]}})
    asked = graph.node_ids("user", np.array([7, -1, 99]))
    assert asked.tolist() == [graph.node_id("user", 7), graph.node_id("user", "-1"), -1]
    with pytest.raises(GraphRecError, match="node_ids: expected a sequence of ids, got '78'"):
        graph.node_ids("user", "78")

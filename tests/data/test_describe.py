import json
from collections import Counter
from dataclasses import replace
from itertools import pairwise

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from graphrec_pt.core.key import Key
from graphrec_pt.data.build import build
from graphrec_pt.data.describe import Spread, describe, human_time
from graphrec_pt.data.histories import measure
from graphrec_pt.data.plan import EdgePlan, NodePlan, Plan
from graphrec_pt.data.synthetic import checkerboard, synthetic_graph
from graphrec_pt.graph.assemble import EdgeList, assemble
from graphrec_pt.graph.graph import Graph
from graphrec_pt.graph.schema import NodeType, Relation, Schema


def test_counts_by_hand(toy_graph: Graph) -> None:
    found = describe(toy_graph)
    assert [(n.name, n.count, n.isolated) for n in found.nodes] == [
        ("user", 3, 0),
        ("item", 4, 0),
        ("brand", 2, 0),
        ("tag", 1, 1),
    ]
    assert [r.name for r in found.relations] == ["rates", "made_by", "follows"]
    rates, made_by, follows = found.relations
    assert (rates.edges, rates.density, rates.inverse) == (6, 6 / 12, "rated_by")
    assert rates.out_degree == Spread(0, 3.0, 2.0, 3)
    assert rates.in_degree == Spread(0, 1.5, 1.5, 3)
    assert (rates.first, rates.last) == (10, 50)
    assert (made_by.first, made_by.last) == (None, None)
    assert follows.in_degree == Spread(0, 1.0, 1.0, 2)  # counted without a stored inverse
    assert (follows.first, follows.last) == (5, 9)
    assert found.provenance == {"seed": 1}


def test_memory_is_that_of_arrays_and_columns(toy_graph: Graph) -> None:
    found, csr = describe(toy_graph), toy_graph.csr
    arrays = [csr.offset, csr.slots, csr.base, csr.segment, csr.indices]
    arrays += [a for a in (csr.time, csr.weight, csr.edge) if a is not None]
    assert found.array_bytes == sum(a.numpy().nbytes for a in arrays)
    assert found.table_bytes > 0


def test_histories_by_hand(toy_graph: Graph) -> None:
    (rates,) = describe(toy_graph).histories
    assert (rates.sources, rates.targets) == (2, 3)
    assert (rates.duplicates, rates.repeats) == (0, 1)  # ann, ink
    assert (rates.ties, rates.tied_sources, rates.tied_last) == (1, 1, 0)  # bob: pen and ink
    assert rates.short == 0
    assert rates.cold_last == 1  # bob's mug; ann's ink has bob's


# -- any histories against a slow count -------------------------------------------------------

PLAIN = Schema(
    nodes=(NodeType(name="u"), NodeType(name="i")),
    relations=(Relation(name="r", source="u", target="i", timed=True, interaction=True),),
)


def graph_of(rows: list[tuple[int, int, int]], sources: int, targets: int) -> Graph:
    array = np.array(rows, np.int64).reshape(-1, 3)
    made = assemble(PLAIN, [sources, targets], {"r": EdgeList(*array.T)})
    tables = {
        "u": pl.DataFrame({"id": [f"u{n}" for n in range(sources)]}, {"id": pl.String}),
        "i": pl.DataFrame({"id": [f"i{n}" for n in range(targets)]}, {"id": pl.String}),
    }
    return Graph(PLAIN, made.csr, tables)


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 5), st.integers(0, 6)), max_size=30))
def test_measurements_match_a_slow_count(rows: list[tuple[int, int, int]]) -> None:
    graph = graph_of(rows, 5, 6)
    found = measure(graph, PLAIN.relations[0])
    edges = graph.edges("r")  # events at one time in an order of chance
    assert edges.time is not None
    stored = list(
        zip(edges.source.tolist(), edges.time.tolist(), edges.target.tolist(), strict=True)
    )
    assert sorted(stored) == sorted((u, t, 5 + i) for u, i, t in rows)
    histories = [[(t, i - 5) for u, t, i in stored if u == user] for user in range(5)]
    histories = [h for h in histories if h]
    assert all([t for t, _ in h] == sorted(t for t, _ in h) for h in histories)
    places = Counter(i for h in histories for _, i in h)
    tied = [[a[0] == b[0] and a[1] != b[1] for a, b in pairwise(h)] for h in histories]
    lasts = Counter(h[-1][1] for h in histories)
    assert found.sources == len(histories)
    assert found.targets == len(places)
    assert found.duplicates == len(rows) - len(set(rows))
    assert found.repeats == len(set(rows)) - len({(u, i) for u, i, _ in rows})
    assert found.ties == sum(map(sum, tied))
    assert found.tied_sources == sum(map(any, tied))
    assert found.tied_last == sum(t[-1] for t in tied if t)
    assert found.short == sum(len(h) < 3 for h in histories)
    assert found.cold_last == sum(places[h[-1][1]] == lasts[h[-1][1]] for h in histories)
    steps = [(a[1], b[1]) for h in histories for a, b in pairwise(h)]
    for order in found.orders:
        assert order.successor == pytest.approx(
            sum(b == a + 1 for a, b in steps) / max(len(steps), 1)
        )


# -- ids that tell the order ------------------------------------------------------------------


def numbered(order: str, seed: int | None) -> Graph:
    """A shop whose item ids were given at random, or as items turned up."""
    graph = synthetic_graph(300, 200, 4000, attributes=0, key=Key(5))
    edges = graph.edges("rates")
    assert edges.time is not None
    rows = pl.DataFrame(
        {"user": edges.source.numpy(), "item": edges.target.numpy(), "time": edges.time.numpy()}
    )
    if order == "time":
        rows = rows.sort("time")
    first = rows["item"].unique(maintain_order=True)
    if order == "random":
        first = first.shuffle(0)
    rows = rows.with_columns(item=rows["item"].replace_strict(first, range(len(first))))
    plan = Plan(
        nodes={"user": NodePlan(), "item": NodePlan()},
        edges={
            "rates": EdgePlan(
                table="t", source="user.user", target="item.item", time="time", interaction=True
            )
        },
    )
    return build(plan, {"t": rows.sample(fraction=1, shuffle=True, seed=1)}, seed=seed)


@pytest.mark.parametrize(
    ("order", "seed", "raw", "node"),
    [
        ("random", 0, False, False),
        ("random", None, False, False),
        ("time", 0, True, False),
        ("time", None, True, True),
        ("reading", 0, True, False),
        ("reading", None, True, True),
    ],
)
def test_ids_in_order_of_appearance_are_found(
    order: str, seed: int | None, raw: bool, node: bool
) -> None:
    found = describe(numbered(order, seed))
    (rates,) = found.histories
    by_ids = {o.ids: o for o in rates.orders}
    assert (by_ids["raw"].exact, by_ids["node"].exact) == (raw, node)
    for ids, telling in (("raw", raw), ("node", node)):
        correlation = by_ids[ids].appearance
        assert correlation is not None
        assert (correlation > 0.99) if telling else (abs(correlation) < 0.3)
        assert (
            any(f"exactly in the order of their {ids} ids" in w for w in found.warnings) == telling
        )


def test_the_last_id_plus_one_is_found() -> None:
    rows = [(u, (3 * u + k) % 40, k) for u in range(60) for k in range(6)]  # always the next id
    found = describe(graph_of(rows, 60, 40))
    assert any("% of steps go to the next node id" in w for w in found.warnings)
    board = describe(checkerboard(20))  # steps of 2
    assert not any("next" in w for w in board.warnings)


def test_a_clean_graph_has_no_warnings() -> None:
    assert describe(synthetic_graph(200, 100, 3000)).warnings == ()


def test_what_was_dropped_or_differs_is_told(toy_graph: Graph) -> None:
    problem = {"where": "ratings", "expected": "numbers", "rows": 1200, "examples": ["r.csv:7"]}
    provenance = {"problems": [problem], "unexpected": {"item": [5, 4]}}
    found = describe(replace(toy_graph, provenance=provenance))
    assert found.warnings[:3] == (
        "item: 4 here, 5 published",
        "ratings: 1,200 rows dropped, expected numbers (r.csv:7)",
        "tag: 1 node (100.0%) without any edge",
    )


@pytest.mark.parametrize(
    ("time", "unit", "text"),
    [
        (0, "s", "1970-01-01"),
        (881250949, "s", "1997-12-04"),
        (881250949_000, "ms", "1997-12-04"),
        (17, "ordinal", "17"),
        (-1, "s", "1969-12-31"),
        (10**17, "s", str(10**17)),
        (None, "s", None),
    ],
)
def test_times_read_as_dates(time: int | None, unit: str, text: str | None) -> None:
    assert human_time(time, unit) == text  # type: ignore[arg-type]


def test_json_holds_everything(toy_graph: Graph) -> None:
    data = json.loads(json.dumps(describe(toy_graph).to_dict()))
    assert data["relations"][0]["edges"] == 6
    assert data["relations"][0]["from"] == "1970-01-01"
    assert data["relations"][0]["out_degree"] == {"min": 0, "median": 3.0, "mean": 2.0, "max": 3}
    assert data["histories"][0]["repeats"] == 1
    assert data["nodes"][0]["columns"] == {"age": "number", "club": "category"}


def test_an_empty_graph_can_be_described() -> None:
    found = describe(graph_of([], 0, 0))
    assert found.relations[0].edges == 0
    assert found.histories[0].sources == 0


def test_relations_made_from_interaction_rows_are_named() -> None:
    """Who opened which session is known from the clicks alone, held-out ones included."""
    plan = {
        "nodes": {"user": {}, "session": {}, "item": {}, "brand": {}},
        "edges": {
            "clicks": {
                "table": "t",
                "source": "session.session",
                "target": "item.item",
                "time": "time",
                "interaction": True,
            },
            "opens": {"table": "t", "source": "user.user", "target": "session.session"},
            "made_by": {"table": "t", "source": "item.item", "target": "brand.brand"},
            "likes": {"table": "none", "source": "user.user", "target": "item.item"},
        },
    }
    rows = {"user": [1], "session": [2], "item": [3], "brand": [4], "time": [1_600_000_000_000]}
    none = {"user": pl.Series([], dtype=pl.Int64), "item": pl.Series([], dtype=pl.Int64)}
    said = describe(build(plan, {"t": rows, "none": none})).warnings
    assert "opens: made from the rows of clicks; a split leaves its edges visible" in said
    assert "likes: no edges" in said
    assert "clicks: the last time is 1,600,000,000,000 s; are times milliseconds?" in said
    assert not [warning for warning in said if "made_by" in warning]

"""No protocol lets a held-out edge be reached from the train graph, in any way."""

from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.core.key import Key
from graphrec_pt.data.build import build
from graphrec_pt.graph.graph import Graph
from graphrec_pt.graph.held_out import events_of
from graphrec_pt.graph.protocol import SplitPart, protocol
from graphrec_pt.graph.split import Split, split
from graphrec_pt.testing import check_protocol

USERS, ITEMS, EVENTS = 40, 30, 600

PLAN: dict[str, Any] = {
    "nodes": {
        "user": {},
        "item": {},
        "review": {"table": "buys", "id": "review", "columns": {"text": "text"}},
        "brand": {},
    },
    "edges": {
        "buys": {
            "table": "buys",
            "source": "user.user",
            "target": "item.item",
            "time": "time",
            "columns": {"split": "category"},
            "event": "review.review",
            "interaction": True,
        },
        "views": {
            "table": "views",
            "source": "user.user",
            "target": "item.item",
            "time": "time",
            "interaction": True,
        },
        "wrote": {"table": "buys", "source": "user.user", "target": "review.review"},
        "about": {"table": "buys", "source": "review.review", "target": "item.item"},
        "made_by": {"table": "items", "source": "item.item", "target": "brand.brand"},
    },
    "derive": [
        {"name": "transition", "window": 2},
        {"name": "co_interaction", "least": 1, "top": 1000},
    ],
}
DERIVED = ("followed_by", "co_interacts")


def tables(seed: int = 0) -> dict[str, pl.DataFrame]:
    rng = np.random.default_rng(seed)
    buys = pl.DataFrame(
        {
            "user": rng.integers(0, USERS, EVENTS),
            "item": rng.integers(0, ITEMS, EVENTS),
            "time": rng.permutation(EVENTS) + 1000,
            "review": [f"r{i}" for i in range(EVENTS)],
            "text": [f"text {i}" for i in range(EVENTS)],
            "split": rng.choice(["train", "train", "train", "valid", "test"], EVENTS),
        }
    )
    before = buys[rng.permutation(EVENTS)[:300]]
    views = before.select("user", "item", pl.col("time") + pl.Series(rng.choice([-3, 0, 5], 300)))
    items = pl.DataFrame({"item": range(ITEMS), "brand": [i % 4 for i in range(ITEMS)]})
    return {"buys": buys, "views": views, "items": items}


@pytest.fixture(scope="module")
def graph() -> Graph:
    return build(PLAN, tables())


# One row per protocol; the meta-test below fails when one is missing.
ROWS: dict[str, list[dict[str, Any]]] = {
    "leave_one_out": [{}],
    "ratio": [{}, {"shuffle": True}, {"valid": 0, "test": 0.5}],
    "global_time": [{}, {"valid_from": 1300, "test_from": 1500}],
    "session": [{}],
    "cold_items": [{}, {"test": 0.4}],
    "cold_users": [{}, {"context": 3}],
    "fixed": [{}],
    "groups": [{"test": 0.3}, {"by": "made_by", "valid": 0, "test": 0.4}],
    "group_histories": [{"test": 0.3}, {"by": "made_by", "test": 0.4, "share": 0.5}],
    "final": [{}],
    "latest_sets": [{"owner": "rev_buys", "least": 1, "test": 0.3}],
}
CASES = [{"name": name, **options} for name, rows in ROWS.items() for options in rows]


def test_every_protocol_has_a_row() -> None:
    """The shop has no lists; test_list_protocol.py splits a world that has."""
    assert set(ROWS) | {"last_lists"} == set(protocol.names())


def in_stages(split_: Split, *stages: SplitPart) -> set[tuple[int, int, int]]:
    """Return (source, target, time) of the events in some stages, from the whole graph."""
    edges = split_.graph.edges("buys")
    assert edges.time is not None
    rows = torch.isin(split_.stage[edges.edge], torch.tensor(stages, dtype=torch.int8))
    return set(
        zip(
            edges.source[rows].tolist(),
            edges.target[rows].tolist(),
            edges.time[rows].tolist(),
            strict=True,
        )
    )


def stored_events(graph: Graph, relation: str) -> set[tuple[int, int, int]]:
    """Return (user, item, time) of every stored edge of a relation or its inverse."""
    edges = graph.edges(relation)
    assert edges.time is not None
    columns = [edges.source.tolist(), edges.target.tolist(), edges.time.tolist()]
    if graph.schema.relation(relation).backward:
        columns[0], columns[1] = columns[1], columns[0]
    return set(zip(*columns, strict=True))


@pytest.mark.parametrize("case", CASES, ids=str)
def test_held_out_edges_are_gone_in_both_directions(graph: Graph, case: dict[str, Any]) -> None:
    cut = split(graph, case)
    kept = in_stages(cut, SplitPart.TRAIN)
    held = in_stages(
        cut, SplitPart.VALID, SplitPart.TEST, SplitPart.VALID_CONTEXT, SplitPart.TEST_CONTEXT
    )
    assert bool(held) == (case["name"] != "final")
    for relation in ("buys", "rev_buys"):
        assert stored_events(cut.train, relation) == kept
    assert not kept & held


@pytest.mark.parametrize("case", CASES, ids=str)
def test_columns_of_held_out_edges_are_empty(graph: Graph, case: dict[str, Any]) -> None:
    cut = split(graph, case)
    first = graph.edge_offset["buys"]
    train = (cut.stage[first : first + EVENTS] == SplitPart.TRAIN).numpy()
    for column in cut.train.edge_tables["buys"]:
        assert (column.is_not_null().to_numpy() == train).all()


@pytest.mark.parametrize("case", CASES, ids=str)
def test_stages_are_disjoint_and_cover_everything(graph: Graph, case: dict[str, Any]) -> None:
    cut = split(graph, case)
    parts = [in_stages(cut, stage) for stage in SplitPart]
    assert sum(len(part) for part in parts) == len(stored_events(graph, "buys"))
    assert len(cut.valid) == len(in_stages(cut, SplitPart.VALID))
    assert len(cut.test) == len(in_stages(cut, SplitPart.TEST))


@pytest.mark.parametrize("case", CASES, ids=str)
def test_reviews_of_held_out_edges_are_unreachable_and_blank(
    graph: Graph, case: dict[str, Any]
) -> None:
    cut = split(graph, case)
    raw = tables()["buys"].with_columns(pl.col("user", "item").cast(pl.String))
    reviews = cut.train.nodes("review")
    table = cut.train.tables["review"]
    kept = {
        (cut.graph.raw_id(u), cut.graph.raw_id(i), t) for u, i, t in in_stages(cut, SplitPart.TRAIN)
    }
    wrote = set(cut.train.edges("wrote").target.tolist())
    about = set(cut.train.edges("about").source.tolist())
    for row in raw.iter_rows(named=True):
        node = cut.graph.node_id("review", row["review"])
        seen = (row["user"], row["item"], row["time"]) in kept
        assert (node in wrote) == seen
        assert (node in about) == seen
        assert (table["text"][node - reviews.start] is not None) == seen
        assert (table["id"][node - reviews.start] == row["review"]) == seen
    assert len(reviews) == EVENTS  # ids stay what they are


@pytest.mark.parametrize("case", CASES, ids=str)
def test_derived_edges_come_from_training_events_alone(graph: Graph, case: dict[str, Any]) -> None:
    """A graph built from the training rows only must derive the very same edges."""
    cut = split(graph, case)
    data = tables()
    kept = {
        (int(cut.graph.raw_id(u)), int(cut.graph.raw_id(i)), t)
        for u, i, t in in_stages(cut, SplitPart.TRAIN)
    }
    rows = [
        row
        for row in data["buys"].iter_rows(named=True)
        if (row["user"], row["item"], row["time"]) in kept
    ]
    plan = PLAN | {
        "nodes": PLAN["nodes"]
        | {"user": {"table": "users", "id": "user"}, "item": {"table": "items", "id": "item"}}
    }
    alone = build(
        plan,
        {
            "buys": pl.DataFrame(rows, schema=data["buys"].schema),
            "views": data["views"],
            "items": data["items"],
            "users": {"user": range(USERS)},
        },
    )
    # The split of "nothing held out" derives from everything that the smaller graph holds.
    whole = split(alone, {"name": "global_time", "valid_from": 10**9, "test_from": 10**9})
    for relation in DERIVED:
        assert derived(cut.train, relation) == pytest.approx(derived(whole.train, relation))
    assert derived(cut.train, "followed_by")


def derived(graph: Graph, relation: str) -> dict[tuple[str, str], float]:
    edges = graph.edges(relation)
    assert edges.weight is not None
    return {
        (graph.raw_id(s), graph.raw_id(t)): w
        for s, t, w in zip(
            edges.source.tolist(), edges.target.tolist(), edges.weight.tolist(), strict=True
        )
    }


@pytest.mark.parametrize("case", CASES, ids=str)
def test_views_at_or_after_a_held_out_purchase_are_gone(graph: Graph, case: dict[str, Any]) -> None:
    cut = split(graph, case)
    held: dict[tuple[int, int], int] = {}
    for user, item, time in in_stages(cut, SplitPart.VALID, SplitPart.TEST):
        held[user, item] = min(time, held.get((user, item), time))
    for user, item, time in stored_events(cut.train, "views"):
        assert time < held.get((user, item), time + 1)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_history_at_test_adds_what_validation_predicted(graph: Graph, case: dict[str, Any]) -> None:
    cut = split(graph, case)
    at_valid = stored_events(cut.history("valid"), "buys")
    at_test = stored_events(cut.history("test"), "buys")
    assert at_valid == in_stages(cut, SplitPart.TRAIN, SplitPart.VALID_CONTEXT)
    assert at_test == at_valid | in_stages(cut, SplitPart.VALID, SplitPart.TEST_CONTEXT)
    assert not at_test & in_stages(cut, SplitPart.TEST)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_every_protocol_keeps_its_promises(graph: Graph, case: dict[str, Any]) -> None:
    check_protocol(case, graph, seed=2)  # with which every protocol holds something out


def test_global_time_puts_ties_on_one_side(graph: Graph) -> None:
    cut = split(graph, {"name": "global_time", "valid": 0.2, "test": 0.2})
    assert cut.valid.time is not None
    assert cut.test.time is not None
    train = cut.train.edges("buys").time
    assert train is not None
    assert train.max() < cut.valid.time.min()
    assert cut.valid.time.max() < cut.test.time.min()


def test_session_predicts_the_last_event_of_late_sessions(graph: Graph) -> None:
    cut = split(graph, {"name": "session", "valid": 0.25, "test": 0.25})
    assert len(cut.test) == 10
    history = cut.history("test").edges("buys")
    assert history.time is not None
    assert cut.test.time is not None
    for user, time in zip(cut.test.source, cut.test.time, strict=True):
        assert (history.time[history.source == user] < time).all()
        assert (cut.train.edges("buys").source != user).all()


def test_cold_items_have_no_history(graph: Graph) -> None:
    cut = split(graph, {"name": "cold_items", "test": 0.3})
    cold = set(cut.test.target.tolist())
    for relation in ("buys", "views"):
        assert not cold & set(cut.train.edges(relation).target.tolist())


def test_cold_items_do_not_depend_on_the_other_items() -> None:
    data = tables()
    fewer = {
        **data,
        "buys": data["buys"].filter(pl.col("item") != 3),
        "views": data["views"].head(0),
    }
    plan = PLAN | {"nodes": PLAN["nodes"] | {"item": {"table": "items", "id": "item"}}}
    first, second = (split(build(plan, d), "cold_items") for d in (data, fewer))
    drawn = [{cut.graph.raw_id(i) for i in cut.test.target.tolist()} for cut in (first, second)]
    assert drawn[0] - {"3"} == drawn[1]


def test_errors_say_what_to_do(graph: Graph) -> None:
    with pytest.raises(GraphRecError, match="protocol: expected a known name"):
        split(graph, "leave_two_out")
    with pytest.raises(GraphRecError, match="an edge column 'fold'"):
        split(graph, {"name": "fixed", "column": "fold"})
    with pytest.raises(GraphRecError, match="valid_from <= test_from"):
        split(graph, {"name": "global_time", "valid_from": 2, "test_from": 1})
    with pytest.raises(GraphRecError, match=r"an interaction relation, got 'made_by'"):
        split(graph, {"name": "ratio", "relation": "made_by"})
    untimed = build(
        {
            "nodes": {"u": {}, "i": {}},
            "edges": {"e": {"table": "t", "source": "u.a", "target": "i.b", "interaction": True}},
        },
        {"t": {"a": [1], "b": [2]}},
    )
    with pytest.raises(GraphRecError, match="session: expected a timed relation"):
        split(untimed, "session")


def test_derived_relations_do_not_disturb_edge_ids(graph: Graph) -> None:
    cut = split(graph)
    train = cut.train.edges("buys")
    whole = graph.edges("buys")
    assert whole.time is not None
    assert train.time is not None
    times = dict(zip(whole.edge.tolist(), whole.time.tolist(), strict=True))
    assert [times[e] for e in train.edge.tolist()] == train.time.tolist()
    new = cut.train.edges("followed_by").edge
    assert int(new.min()) >= graph.num_edge_ids


def nothing_is_left(whole: Graph, case: dict[str, Any], seed: int) -> bool:
    """Whether a protocol holds every event out, or leaves only what repeats a held-out one."""
    chosen: Any = protocol.build(case)
    chosen = chosen.on(whole) if hasattr(chosen, "on") else chosen
    events = events_of(whole, "buys")
    assert events.time is not None
    stages = chosen.assign(events, Key(seed).named("split"))
    rows = list(zip(events.source, events.target, events.time, stages, strict=True))
    return all(
        any(
            (u, i) == (user, item) and t <= time and held != SplitPart.TRAIN
            for u, i, t, held in rows
        )
        for user, item, time, stage in rows
        if stage == SplitPart.TRAIN
    )


EVENTS_OF_CHANCE = st.lists(
    st.tuples(st.integers(0, 5), st.integers(0, 5), st.integers(0, 20)), min_size=1, max_size=40
)
BY_ITSELF = [case for case in CASES if case["name"] != "fixed" and "by" not in case]


@settings(max_examples=80, deadline=None)
@given(EVENTS_OF_CHANCE, st.sampled_from(BY_ITSELF), st.integers(0, 3))
def test_any_events_split_without_a_remainder_or_an_overlap(
    events: list[tuple[int, int, int]], case: dict[str, Any], seed: int
) -> None:
    users, items, times = (list(column) for column in zip(*events, strict=True))
    plan = {
        "nodes": {"user": {}, "item": {}},
        "edges": {"buys": PLAN["edges"]["views"] | {"table": "t"}},
    }
    whole = build(plan, {"t": {"user": users, "item": items, "time": times}})
    try:
        cut = split(whole, case, seed)
    except GraphRecError:
        assert nothing_is_left(whole, case, seed)
        return
    ids = [set(cut.valid.edge.tolist()), set(cut.test.edge.tolist())]
    seen = [set(view.csr.edge.tolist()) for view in (cut.train, cut.history("test"))]  # type: ignore[union-attr]
    assert not ids[0] & ids[1]
    assert not seen[0] & (ids[0] | ids[1])
    assert ids[0] <= seen[1]
    assert not seen[1] & ids[1]
    dropped = int((cut.stage == SplitPart.DROPPED).sum())
    assert len(seen[1] | ids[1]) + dropped == len(events)
    for view in (cut.train, cut.history("test")):
        ahead, back = view.edges("buys"), view.edges("rev_buys")
        mirrored = set(
            zip(back.edge.tolist(), back.target.tolist(), back.source.tolist(), strict=True)
        )
        assert mirrored == set(
            zip(ahead.edge.tolist(), ahead.source.tolist(), ahead.target.tolist(), strict=True)
        )

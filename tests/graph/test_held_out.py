"""Roads by which a held-out edge could come back into the train graph."""

from typing import Any

import pytest

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.data.build import build
from graphrec_pt.graph.derive import derive
from graphrec_pt.graph.split import split

BUYS: dict[str, Any] = {
    "table": "t",
    "source": "user.user",
    "target": "item.item",
    "time": "time",
    "interaction": True,
}


def test_what_was_derived_from_everything_is_derived_anew() -> None:
    """A relation derived from the whole graph by hand must not carry held-out edges along."""
    rows = {"user": [1, 1, 1, 1], "item": [1, 2, 3, 4], "time": [1, 2, 3, 4]}
    plan = {"nodes": {"user": {}, "item": {}}, "edges": {"buys": BUYS}}
    ready = derive(build(plan, {"t": rows}), ["transition", {"name": "co_interaction", "least": 1}])
    assert ready.num_edges("followed_by") == 3
    train = split(ready).train
    assert train.num_edges("followed_by") == 1  # 1 → 2, both in training
    assert train.num_edges("co_interacts") == 2


def test_a_second_review_of_a_held_out_pair_is_gone_too() -> None:
    rows = {
        "user": [1, 1, 1, 1, 1],
        "item": [1, 2, 3, 4, 4],
        "review": ["1-1", "1-2", "1-3", "1-4", "1-4 again"],
    }
    buys = {
        "table": "t",
        "source": "user.user",
        "target": "item.item",
        "event": "review.review",
        "interaction": True,
    }
    plan = {
        "nodes": {"user": {}, "item": {}, "review": {}},
        "edges": {
            "buys": buys,  # untimed: one of the two rows about item 4 is kept
            "wrote": {"table": "t", "source": "user.user", "target": "review.review"},
            "about": {"table": "t", "source": "review.review", "target": "item.item"},
        },
    }
    whole = build(plan, {"t": rows})
    for seed in range(20):
        cut = split(whole, seed=seed)
        item = int(cut.test.target[0])
        held = whole.raw_id(item)
        assert item not in cut.train.edges("about").target.tolist()
        names = cut.train.tables["review"]["id"].to_list()
        assert not [name for name in names if name.startswith(f"1-{held}")]
        reached = {whole.raw_id(i) for i in cut.train.edges("about").target.tolist()}
        assert reached == {whole.raw_id(i) for i in cut.train.edges("buys").target.tolist()}


def test_the_same_pair_backwards_is_held_out() -> None:
    """A relation from item to user between a held-out pair tells as much as its mirror."""
    plan = {
        "nodes": {"user": {}, "item": {}},
        "edges": {
            "buys": BUYS,
            "shown_to": {
                "table": "t",
                "source": "item.item",
                "target": "user.user",
                "interaction": True,
            },
        },
    }
    rows = {"user": [1] * 5, "item": [1, 2, 3, 4, 5], "time": [1, 2, 3, 4, 5]}
    cut = split(build(plan, {"t": rows}))
    shown = cut.train.edges("shown_to").source.tolist()
    assert sorted(cut.graph.raw_id(i) for i in shown) == ["1", "2", "3"]


def test_cold_nodes_are_held_out_at_either_end() -> None:
    plan = {
        "nodes": {"user": {}, "item": {}},
        "edges": {
            "buys": BUYS,
            "like": {
                "table": "likes",
                "source": "item.a",
                "target": "item.b",
                "interaction": True,
            },
        },
    }
    rows = {"user": [1] * 50, "item": range(50), "time": range(50)}
    likes = {"a": range(50), "b": [49 - i for i in range(50)]}
    cut = split(build(plan, {"t": rows, "likes": likes}), {"name": "cold_items", "test": 0.3})
    cold = set(cut.test.target.tolist()) | set(cut.valid.target.tolist())
    kept = cut.train.edges("like")
    assert cold
    assert len(kept.source)
    assert not cold & {*kept.source.tolist(), *kept.target.tolist()}


def test_everything_of_a_held_out_session_is_held_out() -> None:
    clicks = {"s": [1, 1, 1, 2, 2, 2], "i": [1, 2, 3, 1, 2, 3], "t": [1, 2, 3, 11, 12, 13]}
    buys = {"s": [1, 2, 2], "i": [9, 8, 9], "t": [2, 12, 14]}  # items that nobody clicked

    def edges(table: str) -> dict[str, Any]:
        ends = {"source": "session.s", "target": "item.i", "time": "t"}
        return {"table": table, **ends, "interaction": True}

    plan = {
        "nodes": {"session": {}, "item": {}},
        "edges": {"clicks": edges("clicks"), "buys": edges("buys")},
    }
    cut = split(
        build(plan, {"clicks": clicks, "buys": buys}), {"name": "session", "valid": 0, "test": 0.5}
    )
    raw = cut.graph.raw_id
    assert {raw(s) for s in cut.train.edges("buys").source.tolist()} == {"1"}
    at_test = cut.history("test").edges("buys")
    assert sorted(raw(i) for i in at_test.target.tolist()) == ["8", "9"]  # not the one at the end


def test_every_relation_may_have_its_own_fixed_column() -> None:
    edge = BUYS | {"columns": {"split": "category"}}
    plan = {
        "nodes": {"user": {}, "item": {}},
        "edges": {"buys": edge | {"table": "buys"}, "likes": edge | {"table": "likes"}},
    }
    rows = {"user": [1, 1], "item": [1, 2], "time": [1, 2], "split": ["train", "test"]}
    likes = {"user": [1, 1], "item": [3, 4], "time": [1, 2], "split": ["train", "test"]}
    cut = split(build(plan, {"buys": rows, "likes": likes}), "fixed")
    assert [cut.graph.raw_id(i) for i in cut.train.edges("likes").target.tolist()] == ["3"]


def test_a_view_has_a_known_name() -> None:
    rows = {"user": [1, 1, 1], "item": [1, 2, 3], "time": [1, 2, 3]}
    plan = {"nodes": {"user": {}, "item": {}}, "edges": {"buys": BUYS}}
    with pytest.raises(GraphRecError, match="history: expected 'valid' or 'test', got 'tset'"):
        split(build(plan, {"t": rows})).history("tset")  # type: ignore[arg-type]

"""Held-out pairs in other relations: hidden in copies, counted elsewhere (THUDM/CogDL#18)."""

from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.data.build import build
from graphrec_pt.data.describe import describe
from graphrec_pt.graph.graph import Graph
from graphrec_pt.graph.leaks import overlaps, undirected, without_repeats
from graphrec_pt.graph.protocol import Events, SplitPart
from graphrec_pt.graph.split import split
from graphrec_pt.graph.store import open_graph, save_graph

ENDS: dict[str, Any] = {"source": "user.u", "target": "item.i"}
BUYS: dict[str, Any] = {"table": "t", **ENDS, "time": "time", "interaction": True}
USERS, ITEMS = 60, 50


def world(other: pl.DataFrame, **options: Any) -> Graph:
    """Return a graph of bought items and of one more relation between users and items."""
    plan = {
        "nodes": {"user": {}, "item": {}},
        "edges": {"buys": BUYS, "other": {"table": "other", **ENDS, **options}},
    }
    return build(plan, {"t": bought(), "other": other})


def bought() -> pl.DataFrame:
    rng = np.random.default_rng(0)
    item = np.stack([rng.permutation(ITEMS)[:6] for _ in range(USERS)])
    return pl.DataFrame(
        {"u": np.repeat(np.arange(USERS), 6), "i": item.ravel(), "time": range(USERS * 6)}
    )


def by_pair(graph: Graph, relation: str) -> set[tuple[str, str]]:
    edges = graph.edges(relation)
    return {
        (graph.raw_id(u), graph.raw_id(i))
        for u, i in zip(edges.source.tolist(), edges.target.tolist(), strict=True)
    }


def hidden(view: Graph, whole: Graph) -> set[tuple[str, str]]:
    return by_pair(whole, "buys") - by_pair(view, "buys")


def chance(count: int, seed: int = 1) -> pl.DataFrame:
    """Return pairs of chance, each once."""
    rng = np.random.default_rng(seed)
    pair = rng.permutation(USERS * ITEMS)[:count]
    return pl.DataFrame({"u": pair // ITEMS, "i": pair % ITEMS})


COPIES = {
    "the same": bought(),
    "a part": bought().sample(fraction=0.3, seed=0),
    "some more": pl.concat([bought().select("u", "i"), chance(30)]),
    "nearly all, and as many others": pl.concat(
        [bought().select("u", "i").sample(fraction=0.95, seed=0), chance(300)]
    ).unique(maintain_order=True),
    "each twice": pl.concat([bought(), bought()]),
}


@pytest.mark.parametrize("name", COPIES)
@pytest.mark.parametrize("duplicates", ["keep", "first"])
def test_a_copy_hides_what_is_held_out(name: str, duplicates: str) -> None:
    whole = world(COPIES[name], duplicates=duplicates)
    assert [found.copy for found in overlaps(whole)] == [True]
    cut = split(whole)
    for view in (cut.train, cut.history("test")):
        assert not by_pair(view, "other") & hidden(view, whole)
        rest = by_pair(whole, "other") - hidden(view, whole)
        assert by_pair(view, "other") == rest  # nothing else is gone
    assert "other: says what buys says" in " ".join(cut.warnings)
    assert any("other: repeats" in w and "of buys" in w for w in describe(whole).warnings)


OTHERS = {
    "chance": chance(300),
    "many offers": pl.concat([bought().select("u", "i"), chance(2500)]).unique(maintain_order=True),
    "a wish list": pl.concat(
        [bought().select("u", "i").sample(fraction=0.4, seed=0), chance(400)]
    ).unique(maintain_order=True),
}


@pytest.mark.parametrize("name", OTHERS)
def test_another_relation_stays_whole_and_is_told(name: str, tmp_path: Any) -> None:
    whole = world(OTHERS[name])
    assert [found.copy for found in overlaps(whole)] == [False]
    cut = split(whole)
    assert by_pair(cut.train, "other") == by_pair(whole, "other")
    held = hidden(cut.train, whole)
    count = len(held & by_pair(whole, "other"))
    assert count
    sentence = f"other: shows {count} of {len(held)} held-out pairs of buys"
    saved = open_graph(save_graph(cut.history("test"), tmp_path / "g").folder or "")
    for view in (cut.train, cut.history("test"), saved):
        assert any(told.startswith(sentence) for told in describe(view).warnings)
    assert any("other: also joins" in told for told in describe(whole).warnings)


def test_an_unrelated_relation_in_a_dense_world_is_no_copy() -> None:
    """Where nearly everybody bought everything, chance agrees with it."""
    pair = np.random.default_rng(0).permutation(20 * 20)[:380]
    rows = {"u": pair // 20, "i": pair % 20, "time": range(380)}
    plan = {
        "nodes": {"user": {}, "item": {}},
        "edges": {"buys": BUYS, "other": {"table": "other", **ENDS}},
    }
    whole = build(plan, {"t": rows, "other": {"u": range(20), "i": range(20)}})
    (found,) = overlaps(whole)
    assert found.shared >= 18
    assert not found.copy


def test_times_of_a_copy_tell_of_no_repeat() -> None:
    """Bought at 1 and again at 9: the edge at 9 is hidden, the one at 1 stays."""
    rows = pl.DataFrame({"u": [1, 1, 1, 1], "i": [1, 2, 3, 1], "time": [1, 2, 3, 9]})
    plan = {
        "nodes": {"user": {}, "item": {}},
        "edges": {"buys": BUYS, "other": {"table": "t", **ENDS, "time": "time"}},
    }
    cut = split(build(plan, {"t": rows}))
    times = cut.train.edges("other").time
    assert times is not None
    assert sorted(times.tolist()) == [1, 2]
    later = cut.history("test").edges("other").time
    assert later is not None
    assert sorted(later.tolist()) == [1, 2, 3]


def test_copies_of_a_second_interaction_share_its_fate() -> None:
    """Views at or after the held-out purchase are gone, so their mirror must not show them."""
    views = bought().with_columns(pl.col("time") + 1)
    plan = {
        "nodes": {"user": {}, "item": {}},
        "edges": {
            "buys": BUYS,
            "views": {**BUYS, "table": "views"},
            "viewed_by": {"table": "views", "source": "item.i", "target": "user.u", "weight": "w"},
        },
    }
    extra = chance(40).with_columns(time=pl.lit(0))
    table = pl.concat([views, extra], how="diagonal_relaxed").with_columns(w=pl.lit(0.5))
    whole = build(plan, {"t": bought(), "views": table})
    train = split(whole).train
    mirrored = {(u, i) for i, u in by_pair(train, "viewed_by")}
    assert mirrored == by_pair(train, "views")


def reviewed(declared: bool) -> dict[str, Any]:
    event = {"event": "review.review"} if declared else {}
    return {
        "nodes": {"user": {}, "item": {}, "review": {}},
        "edges": {
            "buys": {**BUYS, **event},
            "wrote": {"table": "t", "source": "user.u", "target": "review.review"},
            "about": {"table": "t", "source": "review.review", "target": "item.i"},
        },
    }


def test_event_nodes_that_are_not_declared_are_emptied_too() -> None:
    rows = bought().with_columns(review=pl.format("r{}-{}", "u", "i"))
    declared, open_ = (build(reviewed(known), {"t": rows}) for known in (True, False))
    one, two = split(declared), split(open_)
    for when in ("valid", "test"):
        mine, theirs = one.history(when), two.history(when)  # type: ignore[arg-type]
        assert mine.tables["review"]["id"].to_list() == theirs.tables["review"]["id"].to_list()
        for name in ("wrote", "about"):
            assert by_pair(mine, name) == by_pair(theirs, name)
    assert any("review" in told and "event:" in told for told in two.warnings)
    assert not one.warnings


def test_attributes_that_join_a_user_with_an_item_are_no_events() -> None:
    """A city in which one user and one item are says nothing about a purchase."""
    plan = {
        "nodes": {"user": {}, "item": {}, "city": {}},
        "edges": {
            "buys": BUYS,
            "lives_in": {"table": "homes", "source": "user.u", "target": "city.c"},
            "made_in": {"table": "made", "source": "item.i", "target": "city.c"},
        },
    }
    tables = {
        "t": bought(),
        "homes": {"u": range(USERS), "c": range(USERS)},
        "made": {"i": range(ITEMS), "c": range(ITEMS)},
    }
    cut = split(build(plan, tables))
    assert cut.train.num_edges("lives_in") == USERS
    assert not cut.warnings


FRIENDS = {
    "table": "f",
    "source": "user.a",
    "target": "user.b",
    "time": "t",
    "interaction": True,
}


def friends(pairs: list[tuple[int, int]], times: list[int]) -> Graph:
    plan = {"nodes": {"user": {}}, "edges": {"friend": FRIENDS}}
    a, b = ([pair[side] for pair in pairs] for side in (0, 1))
    return build(plan, {"f": {"a": a, "b": b, "t": times}})


@pytest.mark.parametrize("apart", [False, True])
def test_both_directions_of_an_undirected_relation_share_their_fate(apart: bool) -> None:
    """Case 02."""
    pairs = [(1, 2), (2, 1), (1, 3), (3, 1), (2, 3), (3, 2), (1, 4), (4, 1), (4, 2), (2, 4)]
    whole = friends(pairs, list(range(10)) if apart else [n // 2 for n in range(10)])
    assert undirected(whole, whole.schema.relation("friend"))
    cut = split(whole)
    assert len(cut.test)
    for view, targets in ((cut.train, [cut.valid, cut.test]), (cut.history("test"), [cut.test])):
        edges = view.edges("friend")
        seen = set(zip(edges.source.tolist(), edges.target.tolist(), strict=True))
        for each in targets:
            for a, b in zip(each.source.tolist(), each.target.tolist(), strict=True):
                assert (a, b) not in seen
                assert (b, a) not in seen
    assert any("repeat a held-out pair in the reverse direction" in told for told in cut.warnings)


def test_a_directed_relation_tells_how_many_pairs_stand_there_backwards() -> None:
    rng = np.random.default_rng(0)
    pairs = {(a, b) for a, b in rng.integers(0, 40, (300, 2)).tolist() if a != b}
    ordered = sorted(pairs, key=lambda pair: (pair[0] * 7 + pair[1] * 3) % 101)
    whole = friends(ordered, list(range(len(ordered))))
    assert not undirected(whole, whole.schema.relation("friend"))
    cut = split(whole)
    edges = cut.train.edges("friend")
    seen = set(zip(edges.source.tolist(), edges.target.tolist(), strict=True))
    held = {
        pair
        for each in (cut.valid, cut.test)
        for pair in zip(each.source.tolist(), each.target.tolist(), strict=True)
    }
    back = sum((b, a) in seen for a, b in held)
    assert back
    assert cut.warnings == (
        f"friend: {back} of {len(held)} held-out pairs stand in training in the reverse direction",
    )


STAGES = st.sampled_from(
    [SplitPart.TRAIN, SplitPart.TRAIN, SplitPart.VALID, SplitPart.TEST, SplitPart.TEST_CONTEXT]
)
ROWS = st.lists(
    st.tuples(st.integers(0, 2), st.integers(0, 2), st.integers(0, 4), STAGES), max_size=14
)
SEEN_FROM = {0: 0, 1: 2, 2: 3, 3: 1, 4: 2, 5: 3}


@settings(max_examples=300, deadline=None)
@given(ROWS, st.booleans())
def test_what_repeats_a_hidden_event_is_hidden(
    rows: list[tuple[int, int, int, SplitPart]], timed: bool
) -> None:
    source, target, time, stage = (np.array([row[n] for row in rows], np.int64) for n in range(4))
    events = Events(source, target, time if timed else None, np.arange(len(rows)), None, "e")
    changed, count = without_repeats(events, stage.astype(np.int8), backwards=False)
    fewer = 0
    for n, (a, b, t, before) in enumerate(rows):
        needed = max(
            SEEN_FROM[s] for u, v, w, s in rows if (u, v) == (a, b) and (not timed or w <= t)
        )
        assert SEEN_FROM[int(changed[n])] == needed
        if needed == SEEN_FROM[before]:
            assert changed[n] == before
        else:
            assert changed[n] in (
                SplitPart.VALID_CONTEXT,
                SplitPart.TEST_CONTEXT,
                SplitPart.DROPPED,
            )
            fewer += before == SplitPart.TRAIN
    assert count == fewer


def test_an_equal_event_at_the_same_time_does_not_stay_in_training() -> None:
    plan = {"nodes": {"user": {}, "item": {}}, "edges": {"buys": BUYS}}
    rows = {"u": [1] * 5, "i": [1, 2, 3, 4, 4], "time": [1, 2, 3, 9, 9]}
    cut = split(build(plan, {"t": rows}), {"name": "ratio", "valid": 0, "test": 0.2})
    assert [cut.graph.raw_id(i) for i in cut.test.target.tolist()] == ["4"]
    assert {i for _, i in by_pair(cut.train, "buys")} == {"1", "2", "3"}
    assert cut.warnings == (
        "buys: 1 edge that repeats a held-out pair not earlier was left out of training",
    )


def test_a_copy_of_another_interaction_between_other_types_shares_its_fate() -> None:
    """Sessions are predicted; what their users like is held out with them, and its mirror too."""
    plan = {
        "nodes": {"user": {}, "item": {}, "session": {}},
        "edges": {
            "clicks": {**BUYS, "source": "session.s", "table": "clicks"},
            "opens": {"table": "clicks", "source": "user.u", "target": "session.s"},
            "likes": {**BUYS, "table": "likes"},
            "liked_by": {"table": "likes", "source": "item.i", "target": "user.u", "weight": "w"},
        },
    }
    rng = np.random.default_rng(0)
    clicks = {
        "s": np.repeat(np.arange(80), 3),
        "u": np.repeat(np.arange(80) // 4, 3),
        "i": rng.integers(0, 30, 240),
        "time": range(240),
    }
    likes = pl.DataFrame({"u": np.repeat(np.arange(20), 3), "i": rng.integers(0, 30, 60)})
    likes = likes.unique(maintain_order=True).with_columns(time=pl.lit(0), w=pl.lit(2))
    whole = build(plan, {"clicks": clicks, "likes": likes})
    train = split(whole, {"name": "groups", "by": "opens", "test": 0.4}).train
    assert 0 < train.num_edges("likes") < whole.num_edges("likes")
    assert {(u, i) for i, u in by_pair(train, "liked_by")} == by_pair(train, "likes")


def test_a_given_split_is_used_as_it_is_and_told() -> None:
    edge = {**BUYS, "columns": {"split": "category"}}
    plan = {"nodes": {"user": {}, "item": {}}, "edges": {"buys": edge}}
    rows = {
        "u": [1, 1, 1, 1],
        "i": [1, 2, 3, 3],
        "time": [1, 2, 3, 4],
        "split": ["train", "valid", "test", "train"],
    }
    cut = split(build(plan, {"t": rows}), "fixed")
    assert (cut.train.num_edges("buys"), len(cut.valid), len(cut.test)) == (2, 1, 1)
    assert cut.warnings == (
        "buys: 1 edge of the training part repeats a held-out pair not earlier; the parts are used "
        "as they are given",
    )


@pytest.mark.parametrize("name", ["ratio", "global_time", "cold_items", "cold_users", "session"])
def test_shares_that_leave_nothing_are_refused(name: str) -> None:
    """Case 15."""
    for shares in ({"valid": 0.5, "test": 0.6}, {"valid": 0.5, "test": 0.5}):
        with pytest.raises(GraphRecError, match=rf"{name}: expected valid \+ test < 1"):
            split(world(chance(5)), {"name": name, **shares})


def test_equal_times_that_make_everything_test_are_refused() -> None:
    plan = {"nodes": {"user": {}, "item": {}}, "edges": {"buys": BUYS}}
    whole = build(plan, {"t": bought().with_columns(time=pl.lit(7))})
    for name in ("global_time", "session"):
        with pytest.raises(GraphRecError, match="all 360 have one time; try leave_one_out"):
            split(whole, name)


def test_parts_without_a_training_part_are_refused() -> None:
    edge = {**BUYS, "columns": {"split": "category"}}
    plan = {"nodes": {"user": {}, "item": {}}, "edges": {"buys": edge}}
    whole = build(plan, {"t": bought().with_columns(split=pl.lit("test"))})
    with pytest.raises(GraphRecError, match="events of 'buys' to train on, got 360 at test"):
        split(whole, "fixed")

"""Groups: what hangs on one node is held out together, and nothing of it is trained on."""

from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
import pytest

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.data.build import build
from graphrec_pt.graph.graph import Graph
from graphrec_pt.graph.split import split

DIALOGUES, TURNS, MOVIES = 60, 4, 25


def talk() -> Graph:
    """Return dialogues of four turns: each recommends a film that the next turn names."""
    rng = np.random.default_rng(0)
    turn = np.arange(DIALOGUES * TURNS)
    film = rng.integers(0, MOVIES, len(turn))
    named = np.roll(film, 1)
    first = turn % TURNS == 0
    plan = {
        "nodes": {"turn": {}, "film": {}, "dialogue": {}, "person": {}},
        "edges": {
            "recommends": {
                "table": "turns",
                "source": "turn.turn",
                "target": "film.film",
                "time": "turn",
                "interaction": True,
            },
            "names": {"table": "names", "source": "turn.turn", "target": "film.film"},
            "part_of": {"table": "turns", "source": "turn.turn", "target": "dialogue.dialogue"},
            "holds": {"table": "talks", "source": "person.person", "target": "dialogue.dialogue"},
            "likes": {
                "table": "likes",
                "source": "person.person",
                "target": "film.film",
                "interaction": True,
            },
        },
        "time_unit": "ordinal",
    }
    talks = {"person": [f"p{n // 3}" for n in range(DIALOGUES)], "dialogue": range(DIALOGUES)}
    return build(
        plan,
        {
            "turns": {"turn": turn, "film": film, "dialogue": turn // TURNS},
            "names": {"turn": turn[~first], "film": named[~first]},
            "talks": talks,
            "likes": {
                "person": [f"p{n}" for n in range(20)],
                "film": [n % MOVIES for n in range(20)],
            },
        },
    )


@pytest.fixture(scope="module")
def graph() -> Graph:
    return talk()


def ends(graph: Graph, relation: str) -> list[tuple[str, str]]:
    edges = graph.edges(relation)
    both = zip(edges.source.tolist(), edges.target.tolist(), strict=True)
    return [(graph.raw_id(a), graph.raw_id(b)) for a, b in both]


def sources(graph: Graph, relation: str) -> set[int]:
    return {int(a) for a, _ in ends(graph, relation)}


def test_a_dialogue_is_held_out_as_a_whole(graph: Graph) -> None:
    cut = split(graph, {"name": "groups", "by": "part_of", "valid": 0.2, "test": 0.2})
    parts = [
        {int(graph.raw_id(turn)) // TURNS for turn in nodes}
        for nodes in (
            cut.train.edges("recommends").source.tolist(),
            cut.valid.source.tolist(),
            cut.test.source.tolist(),
        )
    ]
    assert all(parts)
    assert sum(len(part) for part in parts) == DIALOGUES == len(set().union(*parts))
    assert len(cut.test) == TURNS * len(parts[2])


def test_nothing_of_a_held_out_dialogue_is_trained_on(graph: Graph) -> None:
    cut = split(graph, {"name": "groups", "by": "part_of", "valid": 0.2, "test": 0.2})
    held = {int(graph.raw_id(turn)) // TURNS for turn in cut.test.source.tolist()}
    waiting = {int(graph.raw_id(turn)) // TURNS for turn in cut.valid.source.tolist()}
    for relation in ("names", "part_of", "recommends"):
        assert not {turn // TURNS for turn in sources(cut.train, relation)} & (held | waiting)
    # what a turn names is known when it is evaluated, not that turns belong together
    at_valid, at_test = cut.history("valid"), cut.history("test")
    assert waiting <= {turn // TURNS for turn in sources(at_valid, "names")}
    assert not held & {turn // TURNS for turn in sources(at_valid, "names")}
    assert held <= {turn // TURNS for turn in sources(at_test, "names")}
    assert not held & {turn // TURNS for turn in sources(at_test, "part_of")}
    linked = split(graph, {"name": "groups", "by": "part_of", "linked": True})
    assert len(ends(linked.history("test"), "part_of")) == DIALOGUES * TURNS


def test_several_relations_make_larger_groups(graph: Graph) -> None:
    """People with three dialogues each, and what they like is held out with them."""
    cut = split(graph, {"name": "groups", "by": ["part_of", "holds"], "test": 0.3})
    held = {int(graph.raw_id(turn)) // TURNS // 3 for turn in cut.test.source.tolist()}
    seen = {turn // TURNS // 3 for turn in sources(cut.train, "recommends")}
    assert held
    assert seen
    assert not held & seen
    likes = {person for person, _ in ends(cut.train, "likes")}
    assert likes == {f"p{n}" for n in seen}


def test_groups_of_targets_and_of_single_sources(graph: Graph) -> None:
    plan = {
        "nodes": {"user": {}, "item": {}, "brand": {}},
        "edges": {
            "buys": {
                "table": "t",
                "source": "user.u",
                "target": "item.i",
                "interaction": True,
            },
            "made_by": {"table": "m", "source": "item.i", "target": "brand.b"},
        },
    }
    rng = np.random.default_rng(0)
    bought = {"u": rng.integers(0, 30, 300), "i": rng.integers(0, 40, 300)}
    whole = build(plan, {"t": bought, "m": {"i": range(40), "b": [i // 2 for i in range(40)]}})
    cut = split(whole, {"name": "groups", "by": "made_by", "valid": 0.2, "test": 0.2})
    brands = [
        {int(whole.raw_id(item)) // 2 for item in items}
        for items in (cut.train.edges("buys").target.tolist(), cut.test.target.tolist())
    ]
    assert all(brands)
    assert not brands[0] & brands[1]
    alone = split(whole, {"name": "groups", "valid": 0.2, "test": 0.2})
    train = set(alone.train.edges("buys").source.tolist())
    assert not train & set(alone.test.source.tolist())


def test_a_relation_that_reaches_no_event_is_refused(graph: Graph) -> None:
    with pytest.raises(GraphRecError, match=r"groups.by: .*recommends.*turn, film.*got holds"):
        split(graph, {"name": "groups", "by": "holds"})
    with pytest.raises(GraphRecError, match="did you mean 'part_of'"):
        split(graph, {"name": "groups", "by": "part_off"})


def test_a_set_that_another_relation_enters_is_held_out_with_its_owner() -> None:
    """``latest_sets`` with an interaction that leads to the sets instead of leaving them."""
    edges: dict[str, Any] = {
        "holds": {"table": "t", "source": "visit.v", "target": "code.c", "time": "time"},
        "billed_in": {"table": "t", "source": "code.c", "target": "visit.v", "time": "time"},
    }
    plan = {
        "nodes": {"visit": {}, "code": {}, "patient": {}},
        "edges": {
            **{name: {**edge, "interaction": True} for name, edge in edges.items()},
            "makes": {"table": "t", "source": "patient.p", "target": "visit.v", "time": "time"},
        },
    }
    visit = np.repeat(np.arange(60), 3)
    rows = {"v": visit, "c": np.arange(180) % 17, "p": visit // 3, "time": visit}
    cut = split(build(plan, {"t": rows}), {"name": "latest_sets", "owner": "makes", "test": 0.4})
    assert len(cut.test)
    trained = sources(cut.train, "holds")
    assert {int(visit) for _, visit in ends(cut.train, "billed_in")} == trained


def test_published_groups_are_the_test_and_validation_is_drawn_from_the_others() -> None:
    graph = talk()
    parts = pl.Series("split", np.repeat("train", DIALOGUES * TURNS).astype(object)).to_list()
    edges = graph.edges("recommends")
    turn = [int(graph.raw_id(int(node))) for node in edges.source]
    for row, number in enumerate(turn):
        if number in (0, 5):  # one turn each of the dialogues 0 and 1
            parts[row] = "test"
    column = pl.DataFrame({"split": parts})
    graph = replace(graph, edge_tables={"recommends": column})
    how = {"name": "groups", "by": "part_of", "published": "split", "valid": 0.2}
    cut = split(graph, how)

    def dialogues(turns: Any) -> set[int]:
        return {int(graph.raw_id(int(node))) // TURNS for node in turns}

    assert dialogues(cut.test.source) == {0, 1}
    assert len(cut.test) == 2 * TURNS  # whole dialogues, not the marked turns alone
    drawn = dialogues(cut.valid.source)
    assert 5 <= len(drawn) <= 20
    assert not drawn & {0, 1}
    with pytest.raises(GraphRecError, match=r"groups\.published: .*did you mean"):
        split(graph, {**how, "published": "splt"})

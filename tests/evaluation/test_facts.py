"""Facts in texts, in a film world that is small enough to read."""

import polars as pl
import pytest

from graphrec_pt import GraphRecError
from graphrec_pt.data.build import build
from graphrec_pt.data.plan import EdgePlan, NodePlan, Plan
from graphrec_pt.evaluation.facts import Facts
from graphrec_pt.graph.graph import Graph
from graphrec_pt.predict.path_words import PathWords

FILMS = {
    "1": ("Pulp Fiction (1994)", "Quentin Tarantino"),
    "2": ("Four Rooms (1995)", "Quentin Tarantino"),
    "3": ("Usual Suspects, The (1995)", "Bryan Singer"),
    "4": ("It (1990)", "Bryan Singer"),
}
SEEN = [("ann", "1"), ("bob", "1"), ("bob", "3"), ("cat", "4")]
PHRASES = {"watched": ["watched"], "directed_by": ["was directed by", "a film by"]}


def films() -> Graph:
    """Ann watched 1, Bob 1 and 3, Cat 4."""
    plan = Plan(
        nodes={
            "user": NodePlan(),
            "film": NodePlan(table="films", id="id", columns={"title": "text"}, title="title"),
            "person": NodePlan(),
        },
        edges={
            "watched": EdgePlan(
                table="seen", source="user.user", target="film.film", interaction=True
            ),
            "directed_by": EdgePlan(table="films", source="film.id", target="person.person"),
        },
    )
    films = [(key, *told) for key, told in FILMS.items()]
    return build(
        plan,
        {
            "seen": pl.DataFrame(SEEN, schema=["user", "film"], orient="row"),
            "films": pl.DataFrame(films, schema=["id", "title", "person"], orient="row"),
        },
    )


GRAPH = films()
FACTS = Facts.of(GRAPH, "watched", phrases=PHRASES)


def stated(
    text: str, user: str, film: str, facts: Facts = FACTS
) -> list[tuple[str, str | None, bool]]:
    """Return (name as written, relation, truth) of each fact."""
    pair = GRAPH.node_id("user", user), GRAPH.node_id("film", film)
    return [(text[f.start : f.end], f.relation, f.true) for f in facts.stated(text, *pair)]


def test_a_name_is_grounded_by_an_edge_to_the_pair() -> None:
    text = "Like Pulp Fiction, by quentin tarantino; not by Bryan Singer."
    assert stated(text, "ann", "2") == [
        ("Pulp Fiction", None, True),  # Ann watched it
        ("quentin tarantino", None, True),  # directed the recommended film
        ("Bryan Singer", None, False),  # nothing joins him to Ann, film 2 or Pulp Fiction
    ]


def test_a_name_is_grounded_by_way_of_another_name() -> None:
    assert stated("Bryan Singer again", "bob", "2") == [("Bryan Singer", None, False)]
    chained = stated("You saw the usual suspects by Bryan Singer", "bob", "2")
    assert chained == [("the usual suspects", None, True), ("Bryan Singer", None, True)]


def test_the_recommended_item_states_nothing() -> None:
    assert stated("Four Rooms is fun", "ann", "2") == []
    assert stated("", "ann", "2") == []


def test_short_names_are_words_of_the_language() -> None:
    assert stated("I loved it", "cat", "2") == []


def test_phrases_state_edges() -> None:
    text = (
        "Four Rooms was directed by Quentin Tarantino. Pulp Fiction was directed by Bryan Singer."
    )
    found = stated(text, "ann", "2")
    assert ("Quentin Tarantino", "directed_by", True) in found
    assert ("Bryan Singer", "directed_by", False) in found
    # The head is the recommended film where none is named before.
    assert ("Bryan Singer", "directed_by", False) in stated("a film by Bryan Singer", "ann", "2")
    assert ("Bryan Singer", "directed_by", True) in stated("a film by Bryan Singer", "ann", "4")
    # A sentence ends the reach of a name: film 2 is the head.
    text = "You know Pulp Fiction. It was directed by Bryan Singer"
    assert ("Bryan Singer", "directed_by", False) in stated(text, "ann", "2")


def test_what_you_did_is_an_edge_too() -> None:
    assert ("Pulp Fiction", "watched", True) in stated("You watched Pulp Fiction", "ann", "2")
    assert ("Pulp Fiction", "watched", False) in stated("You watched Pulp Fiction", "cat", "2")


def test_other_people_are_not_named() -> None:
    both = "Somebody else watched Pulp Fiction; the same person watched The Usual Suspects."
    assert [fact[1:] for fact in stated(both, "ann", "2") if fact[1]] == [("watched", True)] * 2
    never = "Somebody else watched The Usual Suspects; the same person watched Four Rooms."
    assert [f[2] for f in stated(never, "ann", "3") if f[1]] == [True, False]
    alone = "Somebody else watched The Usual Suspects"
    assert [f[2] for f in stated(alone, "bob", "2") if f[1]] == [False]  # only Bob himself did


def test_paths_in_words_state_their_edges_and_are_true() -> None:
    words = PathWords(GRAPH, PHRASES)
    ann, bob = (GRAPH.node_id("user", user) for user in ("ann", "bob"))
    one, two, three = (GRAPH.node_id("film", film) for film in "123")
    tarantino = GRAPH.node_id("person", "Quentin Tarantino")
    told = words.sentence([ann, one, tarantino, two], ["watched", "directed_by", "rev_directed_by"])
    assert told.text == (
        "You watched Pulp Fiction, which was directed by Quentin Tarantino; "
        "Four Rooms was directed by Quentin Tarantino, too."
    )
    names = [told.text[slot.start : slot.end] for slot in told.slots]
    assert names == ["Pulp Fiction", "Quentin Tarantino", "Four Rooms", "Quentin Tarantino"]
    assert [slot.node for slot in told.slots] == [one, tarantino, two, tarantino]
    found = [fact for fact in FACTS.stated(told.text, ann, two) if fact.relation]
    assert [fact.relation for fact in found] == ["watched", "directed_by", "directed_by"]
    assert all(fact.true for fact in FACTS.stated(told.text, ann, two))
    told = words.sentence([ann, one, bob, three], ["watched", "rev_watched", "watched"])
    assert told.text == (
        "You watched Pulp Fiction; somebody else watched Pulp Fiction, too; "
        "the same person watched The Usual Suspects, too."
    )
    found = [fact for fact in FACTS.stated(told.text, ann, three) if fact.relation]
    assert [fact.true for fact in found] == [True] * 3
    plain = PathWords(GRAPH, {}).sentence([ann, one, tarantino], ["watched", "directed_by"])
    # A clause goes on about the name that was told last, and about no other.
    told = words.sentence([tarantino, one, ann, two], ["rev_directed_by", "rev_watched", "watched"])
    assert told.text == (
        "Pulp Fiction was directed by you; ann watched Pulp Fiction; ann watched Four Rooms, too."
    )
    new = PathWords(GRAPH, PHRASES).sentence([one, tarantino], ["directed_by"], after="watched")
    assert new.text == "You watched Pulp Fiction, which was directed by Quentin Tarantino."
    assert plain.text == "You came across Pulp Fiction, which is directed by Quentin Tarantino."


def test_a_false_path_is_found_out() -> None:
    ann, two = GRAPH.node_id("user", "ann"), GRAPH.node_id("film", "2")
    singer, three = GRAPH.node_id("person", "Bryan Singer"), GRAPH.node_id("film", "3")
    words = PathWords(GRAPH, PHRASES)
    told = words.sentence([ann, three, singer, two], ["watched", "directed_by", "rev_directed_by"])
    found = {fact.true for fact in FACTS.stated(told.text, ann, two) if fact.relation}
    assert found == {True, False}
    truth = [fact.true for fact in FACTS.stated(told.text, ann, two) if fact.relation]
    assert truth == [False, True, False]  # Ann never saw 3, which Singer made; 2 he did not make


def test_wrong_types_and_phrases() -> None:
    with pytest.raises(GraphRecError, match="actor"):
        Facts.of(GRAPH, "watched", ["actor"])
    with pytest.raises(GraphRecError, match="liked"):
        Facts.of(GRAPH, "watched", phrases={"liked": ["liked"]})
    with pytest.raises(GraphRecError, match="words that state 'watched'"):
        Facts.of(GRAPH, "watched", phrases={"watched": ["!"]})

"""The answers of text generation, against the tables they come from."""

import pytest
import torch

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.graph.graph import Graph
from graphrec_pt.graph.spec import GraphSpec
from graphrec_pt.graph.split import split
from graphrec_pt.tokens.answer_text import AnswerText
from graphrec_pt.tokens.kind import Kind
from graphrec_pt.tokens.words import Words
from tests.tokens.text_world import Whole, review_of, reviews_graph, talk_graph


@pytest.fixture(scope="module")
def world() -> Graph:
    return reviews_graph()


@pytest.fixture(scope="module")
def words() -> Words:
    return Words(Whole())


def test_the_text_of_an_edge_is_that_of_its_review(world: Graph, words: Words) -> None:
    edges = world.edges("reviews")
    answer = AnswerText(of="event", column="text")
    rows = answer.rows(world, edges.source, edges.edge)
    expected = [
        review_of(int(world.raw_id(int(u))), int(world.raw_id(int(i))))
        for u, i in zip(edges.source, edges.target, strict=True)
    ]
    assert answer.texts(world, rows) == expected
    found = answer.packed(world, rows, words)
    fifth = found.id[int(found.ptr[5]) : int(found.ptr[6])]
    assert fifth.tolist() == words.encode(expected[5])
    assert set(found.kind.tolist()) == {Kind.TEXT}


def test_a_column_of_the_edge_serves_too(world: Graph, words: Words) -> None:
    edges = world.edges("praises")
    answer = AnswerText(of="event", column="words", longest=2)
    rows = answer.rows(world, edges.source, edges.edge)
    assert answer.texts(world, rows[:1])[0].startswith("a ")
    found = answer.packed(world, torch.tensor([int(rows[3]), -1]), words)
    assert found.ptr.tolist() == [0, 2, 2]  # cut, and none


def test_root_and_target(world: Graph, words: Words) -> None:
    edges = world.edges("reviews")
    target = AnswerText(of="target", column="title")
    by_edge = target.rows(world, edges.source, edges.edge)
    pairs = torch.stack([edges.source, edges.target], dim=1)
    assert torch.equal(by_edge, edges.target)
    assert torch.equal(target.rows(world, pairs, None), edges.target)
    assert target.texts(world, by_edge[:1]) == [world.title(int(edges.target[0]))]
    root = AnswerText(of="root", column="text")
    review = torch.tensor([world.node_id("review", "2-5"), world.node_id("item", "1"), -1])
    assert root.texts(world, root.rows(world, review, None)) == [review_of(2, 5), "", ""]
    assert root.packed(world, review, words).ptr.tolist() == [0, 3, 3, 3]


def test_the_node_itself_may_be_the_answer(world: Graph, words: Words) -> None:
    answer, item = AnswerText(of="target"), world.node_id("item", "4")
    found = answer.packed(world, torch.tensor([item, -1, item]), words)
    assert (found.ptr.tolist(), found.id.tolist()) == ([0, 1, 1, 2], [item, item])
    assert set(found.kind.tolist()) == {Kind.NODE}
    assert answer.texts(world, torch.tensor([item, -1])) == ["cube 4", ""]


def test_a_train_view_has_no_answer_for_what_is_held_out(world: Graph, words: Words) -> None:
    parts = split(world, "leave_one_out")
    answer = AnswerText(of="event", column="text")
    rows = answer.rows(world, parts.test.source, parts.test.edge)
    assert all(answer.texts(world, rows))
    assert not any(answer.texts(parts.train, rows))
    assert int(answer.packed(parts.train, rows, words).ptr[-1]) == 0


def test_what_is_wrong_is_told_in_one_line(world: Graph, words: Words) -> None:
    spec, edges = GraphSpec.of(world), world.edges("reviews")
    with pytest.raises(GraphRecError, match="a column with the text of the event"):
        AnswerText.checked({"of": "event"}, "answer")
    with pytest.raises(GraphRecError, match=r"text column of review, got 'txet'.*'text'"):
        AnswerText(of="event", column="txet").check(spec)
    AnswerText(of="event", column="text").check(spec)
    with pytest.raises(GraphRecError, match="hidden edges"):
        AnswerText(of="event", column="text").rows(world, edges.source, None)
    with pytest.raises(GraphRecError, match="a column that has texts, got 'words'"):
        AnswerText(of="target", column="words").packed(world, edges.target, words)


def test_nodes_stand_in_the_answer_where_the_text_names_them(words: Words) -> None:
    world = talk_graph()
    answer = AnswerText.checked(
        {"of": "root", "column": "text", "mentions": {"relation": "names", "marker": "@{id}"}}, "a"
    )
    turns = torch.tensor(list(world.nodes("turn")))
    first, second = (world.node_id("item", name) for name in ("7", "8"))
    found = answer.packed(world, turns, words)
    kinds = [part.tolist() for part in found.kind.split([3, 2])]
    assert found.ptr.tolist() == [0, 3, 5]
    assert kinds == [[Kind.TEXT, Kind.NODE, Kind.TEXT], [Kind.NODE, Kind.NODE]]
    assert found.id[found.kind == Kind.NODE].tolist() == [first, second, first]
    assert answer.texts(world, turns) == ["a ball ring", "cube ball"]


def test_a_blank_takes_the_place_of_what_the_text_names(words: Words) -> None:
    world = talk_graph()
    turns = torch.tensor(list(world.nodes("turn")))
    mentions = {"relation": "names", "marker": "@{id}", "blank": "ring"}
    answer = AnswerText.checked({"of": "root", "column": "text", "mentions": mentions}, "a")
    found = answer.packed(world, turns, words)
    ids = [found.id[a:b].tolist() for a, b in zip(found.ptr, found.ptr[1:], strict=False)]
    assert [words.tokenizer.decode(each) for each in ids] == ["a ring ring", "ring ring"]
    assert set(found.kind.tolist()) == {Kind.TEXT}
    assert not answer.has_nodes
    with pytest.raises(GraphRecError, match=r"mentions.blank.*<item>"):
        AnswerText.checked(
            {"of": "root", "column": "text", "mentions": {"relation": "names", "blank": " "}}, "a"
        )

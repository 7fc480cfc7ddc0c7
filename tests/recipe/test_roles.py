"""Roles: what fills them on cards and graphs, and one line for each that the data lacks."""

from pathlib import Path

import pytest

from graphrec_pt import GraphRecError
from graphrec_pt.data.card import load_card, parse_card
from graphrec_pt.data.sketch import sketch
from graphrec_pt.graph.store import save_graph
from graphrec_pt.recipe.files import load_recipe, recipe_content
from graphrec_pt.recipe.roles import roles_of_card, roles_of_graph, with_roles

PLAIN = """
name: plain
tables: {events: {file: events.csv}}
nodes: {reader: {}, book: {}}
edges:
  reads:
    {table: events, source: reader.r, target: book.b, time: t, interaction: true, inverse: false}
"""
ROLES = {
    "movielens-100k": {
        "interaction": ("rates",),
        "inverse": ("rated_by",),
        "user": ("user",),
        "item": ("item",),
        "attribute": ("has_genre",),
        "attribute_inverse": ("genre_of",),
        "attributes": ("has_genre", "released_in"),
        "attribute_type": ("genre",),
        "text": ("title",),
    },
    "amazon-beauty": {
        "interaction": ("buys",),
        "inverse": ("bought_by",),
        "user": ("user",),
        "item": ("item",),
        "attribute": ("has_attribute",),
        "attribute_inverse": ("attribute_of",),
        # relations that were collected over all time do not count
        "attributes": ("has_attribute", "has_brand", "in_category"),
        "attribute_type": ("attribute",),
        "text": ("keywords",),
    },
}


@pytest.mark.parametrize("card", ROLES)
def test_roles_of_a_card_and_of_its_graph_are_the_same(card: str, tmp_path: Path) -> None:
    loaded = load_card(card)
    assert dict(roles_of_card(loaded)) == ROLES[card]
    saved = save_graph(sketch(loaded.without(loaded.all_time)), tmp_path / "graph")
    assert saved.folder is not None
    assert dict(roles_of_graph(saved.folder)) == ROLES[card]


def test_names_stand_in_for_roles_in_keys_lists_and_texts() -> None:
    content = {
        "data": {"card": "movielens-100k"},
        "model": {"features": {"by_type": {"$item": [{"relations": ["x", "$attributes", "y"]}]}}},
        "stages": [{"pattern": "($user)-[$interaction]->(MASK:$item)", "batch": 3}],
    }
    relations = ["x", "has_genre", "released_in", "y"]
    assert with_roles(content, "test") == {
        "data": {"card": "movielens-100k"},
        "model": {"features": {"by_type": {"item": [{"relations": relations}]}}},
        "stages": [{"pattern": "(user)-[rates]->(MASK:item)", "batch": 3}],
    }


def test_every_role_that_the_data_lacks_is_named_at_once(tmp_path: Path) -> None:
    card = tmp_path / "plain.yaml"
    card.write_text(PLAIN)
    roles = roles_of_card(parse_card(PLAIN, "plain"))
    assert roles["interaction"] == ("reads",)
    assert roles["inverse"] == roles["attribute"] == roles["text"] == ()
    content = {"data": {"card": str(card)}, "a": "$attribute", "b": ["$inverse"], "c": "$item"}
    with pytest.raises(GraphRecError) as caught:
        with_roles(content, "mine.yaml")
    first, second = str(caught.value).splitlines()
    assert "relation from items to nodes that describe them ($attribute)" in first
    assert "($inverse)" in second
    assert "recipe ls --data" in first


def test_a_misspelt_role_and_data_without_a_name_are_one_line() -> None:
    with pytest.raises(GraphRecError, match=r"did you mean '\$item'"):
        with_roles({"data": {"card": "toy-shop"}, "a": "$itme"}, "mine")
    with pytest.raises(GraphRecError, match=r"data\.card or data\.graph"):
        with_roles({"a": "$item"}, "mine")
    with pytest.raises(GraphRecError, match="an entry of a list"):
        with_roles({"data": {"card": "toy-shop"}, "a": "of $attributes"}, "mine")


def test_overrides_use_the_names_of_the_data_that_they_choose() -> None:
    changed = ["data.card=amazon-beauty", "model.features.by_type.item.0=id"]
    content = recipe_content("flagship", changed)
    assert content["model"]["features"]["by_type"] == {"item": ["id", "content"]}
    assert load_recipe("lightgcn", ["data.card=movielens-100k"]).stages[0].roots == "rates"

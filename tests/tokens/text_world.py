"""A world whose texts are known: every review names the colour of its user and the shape of its
item."""

from typing import Any

import numpy as np
import polars as pl

from graphrec_pt.data.build import build
from graphrec_pt.data.plan import EdgePlan, NodePlan, Plan
from graphrec_pt.graph.graph import Graph

COLOURS = ("red", "green", "blue", "pink")
SHAPES = ("ball", "cube", "ring")


def review_of(user: int, item: int) -> str:
    return f"a {COLOURS[user % 4]} {SHAPES[item % 3]}"


def reviews_graph(users: int = 8, items: int = 6) -> Graph:
    """Every user reviews every item but the one of the user's own number (raw ids count from 0).

    Reviews are nodes (`review`, column `text`) and the edge `reviews` has the same words in its
    column `words`. Titles of items differ: ``ball 0``, ``cube 1``, …; users have none.
    """
    pairs = [(u, i) for u in range(users) for i in range(items) if i != u]
    reviews = {
        "user": [u for u, _ in pairs],
        "item": [i for _, i in pairs],
        "review": [f"{u}-{i}" for u, i in pairs],
        "text": [review_of(u, i) for u, i in pairs],
        "time": [(3 * u + i) % items for u, i in pairs],
        "stars": [1.0 + (u + i) % 5 for u, i in pairs],
    }
    reviews["words"] = reviews["text"]
    things = {"id": np.arange(items), "title": [f"{SHAPES[i % 3]} {i}" for i in range(items)]}
    text: dict[str, Any] = {"text": "text"}
    plan = Plan(
        nodes={
            "user": NodePlan(),
            "item": NodePlan(table="things", id="id", columns={"title": "text"}, title="title"),
            "review": NodePlan(table="reviews", id="review", columns=text),
        },
        edges={
            "reviews": EdgePlan(
                table="reviews",
                source="user.user",
                target="item.item",
                time="time",
                weight="stars",
                event="review.review",
                inverse="reviewed_by",
                interaction=True,
            ),
            "writes": EdgePlan(table="reviews", source="user.user", target="review.review"),
            "about": EdgePlan(table="reviews", source="review.review", target="item.item"),
            "praises": EdgePlan(
                table="reviews", source="user.user", target="item.item", columns={"words": "text"}
            ),
        },
        time_unit="ordinal",
    )
    tables = {"reviews": pl.DataFrame(reviews), "things": pl.DataFrame(things)}
    return build(plan, tables)


def talk_graph() -> Graph:
    """Two turns that name items 7 (ball) and 8 (cube) by markers."""
    tables = {
        "turns": pl.DataFrame({"id": [0, 1], "text": ["a @7 ring", "@8 @7"]}),
        "items": pl.DataFrame({"id": [7, 8], "title": ["ball", "cube"]}),
        "named": pl.DataFrame({"turn": [0, 1, 1], "item": [7, 8, 7]}),
    }
    text: dict[str, Any] = {"text": "text"}
    title: dict[str, Any] = {"title": "text"}
    plan = Plan(
        nodes={
            "turn": NodePlan(table="turns", id="id", columns=text),
            "item": NodePlan(table="items", id="id", columns=title, title="title"),
        },
        edges={"names": EdgePlan(table="named", source="turn.turn", target="item.item")},
    )
    return build(plan, tables)


class Whole:
    """A tokenizer of whole words that knows the words of the world, and can write them."""

    words = ("<eos>", "a", *COLOURS, *SHAPES, *"0123456789")
    name_or_path = "whole"
    eos_token_id = 0

    def encode(self, text: str) -> list[int]:
        return [self.words.index(word) for word in text.split()]

    def decode(self, ids: list[int]) -> str:
        return " ".join(self.words[n] for n in ids)

    def __len__(self) -> int:
        return len(self.words)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Whole)

    __hash__ = None  # type: ignore[assignment]

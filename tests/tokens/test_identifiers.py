"""Names of nodes: unique, and permuted where they are numbers."""

from itertools import pairwise

import polars as pl
import pytest

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.data.build import build
from graphrec_pt.graph.graph import Graph
from graphrec_pt.tokens.identifiers import identifier

TITLES = ["Heat", "Heat", "Up", None, " ", "Alien"]


def shop(seed: int | None = 0, titles: list[str | None] = TITLES) -> Graph:
    ids = [f"m{n}" for n in range(len(titles))]
    tables = {
        "items": pl.DataFrame({"id": ids, "title": titles}),
        "buys": pl.DataFrame({"user": ["ann"] * len(ids), "item": ids}),
    }
    item = {"table": "items", "columns": {"title": "text"}, "title": "title"}
    buys = {"table": "buys", "source": "user.user", "target": "item.item", "interaction": True}
    return build({"nodes": {"user": {}, "item": item}, "edges": {"buys": buys}}, tables, seed=seed)


def by_raw_id(graph: Graph, config: object) -> dict[str, str]:
    names = identifier.build(config).names(graph, "item").to_list()
    return dict(zip(graph.tables["item"]["id"].to_list(), names, strict=True))


def test_digits_are_a_permutation_that_the_order_of_nodes_does_not_change() -> None:
    plain: list[str | None] = [f"t{n}" for n in range(200)]
    one, other = (by_raw_id(shop(seed, plain), "digits") for seed in (None, 7))
    assert one == other
    numbers = [int(one[f"m{n}"].removeprefix("item_")) for n in range(200)]
    assert sorted(numbers) == list(range(1, 201))
    steps = [abs(a - b) for a, b in pairwise(numbers)]
    assert sum(steps) / len(steps) > 40  # a third of the range on average, and not 1
    again = by_raw_id(shop(None, plain), {"name": "digits", "seed": 1, "separator": " "})
    assert again["m0"].startswith("item ")
    assert [again[f"m{n}"][5:] for n in range(200)] != [str(n) for n in numbers]


def test_titles_that_are_alike_are_told_apart() -> None:
    named = by_raw_id(shop(), "title")
    expected = ["Heat [m0]", "Heat [m1]", "Up", "[m3]", "[m4]", "Alien"]
    assert [named[f"m{n}"] for n in range(6)] == expected


def test_names_that_are_still_alike_are_refused() -> None:
    with pytest.raises(GraphRecError, match=r"one name for each item, got 'Heat \[m1\]' for 'm"):
        by_raw_id(shop(titles=["Heat [m1]", "Heat", "Heat"]), "title")
    with pytest.raises(GraphRecError, match="a title column of 'user', got none"):
        identifier.build("title").names(shop(), "user")

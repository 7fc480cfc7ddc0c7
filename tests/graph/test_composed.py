"""Relations along a chain, by hand, and what held-out events tell of them."""

from collections import Counter
from typing import Any

import polars as pl
import pytest

from graphrec_pt import GraphRecError, split
from graphrec_pt.data.build import build
from graphrec_pt.graph.derive import derive
from graphrec_pt.graph.graph import Graph

REVIEWS = [
    ("ann", "amp", 1, "loud cheap"),
    ("ann", "cable", 2, "cheap"),
    ("ann", "strap", 3, "soft"),
    ("bob", "amp", 1, "loud"),
    ("bob", "strap", 2, "cheap soft"),
    ("bob", "cable", 3, "long"),
]
PLAN: dict[str, Any] = {
    "nodes": {
        "user": {},
        "item": {},
        "review": {"table": "reviews", "id": "review", "columns": {"text": "text"}},
        "aspect": {},
    },
    "edges": {
        "reviews": {
            "table": "reviews",
            "source": "user.user",
            "target": "item.item",
            "time": "time",
            "event": "review.review",
            "interaction": True,
        },
        "about": {"table": "reviews", "source": "review.review", "target": "item.item"},
        "mentions": {"table": "reviews", "source": "review.review", "target": "aspect.words"},
    },
    "time_unit": "ordinal",
}
HAS = {"name": "composed", "relation_name": "has", "along": ["rev_about", "mentions"]}


def world() -> Graph:
    names = ["user", "item", "time", "text"]
    table = pl.DataFrame(REVIEWS, schema=names, orient="row").with_columns(
        review=pl.col("user") + "-" + pl.col("item"), words=pl.col("text").str.split(" ")
    )
    return build(PLAN, {"reviews": table})


def weights(graph: Graph, relation: str) -> dict[tuple[str, str], float]:
    edges = graph.edges(relation)
    assert edges.weight is not None
    ends = zip(edges.source.tolist(), edges.target.tolist(), edges.weight.tolist(), strict=True)
    return {(graph.raw_id(a), graph.raw_id(b)): w for a, b, w in ends}


def test_chains_are_counted() -> None:
    found = weights(derive(world(), [HAS]), "has")
    expected = Counter((item, word) for _, item, _, text in REVIEWS for word in text.split())
    assert found == expected
    assert found["amp", "loud"] == 2
    back = weights(derive(world(), [HAS]), "rev_has")
    assert back == {(b, a): count for (a, b), count in expected.items()}


def test_rare_chains_and_the_best_of_each_source() -> None:
    assert weights(derive(world(), [{**HAS, "least": 2}]), "has") == {
        ("amp", "loud"): 2,
        ("strap", "soft"): 2,
    }
    best = weights(derive(world(), [{**HAS, "top": 1}]), "has")
    assert best["amp", "loud"] == 2
    assert sorted(item for item, _ in best) == ["amp", "cable", "strap"]


def test_held_out_reviews_compose_nothing() -> None:
    parts = split(derive(world(), [HAS]), "leave_one_out")
    kept = [row for row in REVIEWS if row[2] == 1]  # the last two of each user are held out
    shown = Counter((item, word) for _, item, _, text in kept for word in text.split())
    assert weights(parts.train, "has") == shown
    later = weights(parts.history("test"), "has")
    assert later[("strap", "cheap")] == 1  # of Bob's validation event
    assert ("cable", "long") not in later


def test_relations_that_do_not_follow() -> None:
    with pytest.raises(GraphRecError, match="leaves 'item' after 'about', got 'mentions'"):
        derive(world(), [{**HAS, "along": ["about", "mentions"]}])

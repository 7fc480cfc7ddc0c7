"""Words that tell of a number: z by hand, what is hidden, and what cannot be told."""

import polars as pl
import pytest
import torch

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.data.build import build
from graphrec_pt.graph.outline import Outline
from graphrec_pt.objectives.objective import objective
from graphrec_pt.objectives.telling_words import TellingWords
from graphrec_pt.tokens.kind import Kind, Special
from graphrec_pt.tokens.tokens import Tokens
from graphrec_pt.tokens.words import HashedWords

V = 4096
PLAN = {
    "nodes": {
        "user": {},
        "review": {"table": "r", "id": "review", "columns": {"text": "text", "rating": "number"}},
    },
    "edges": {"writes": {"table": "r", "source": "user.user", "target": "review.review"}},
}
REVIEWS = [
    ("great sound", 5), ("great price great", 5), ("bad sound", 1), ("bad price", 1),
    ("the sound", 3), ("the price", 3), (None, 5), ("great", None),
]  # fmt: skip


@pytest.fixture(scope="module")
def graph():
    rows = pl.DataFrame(
        {
            "user": ["u"] * len(REVIEWS),
            "review": [f"r{n}" for n in range(len(REVIEWS))],
            "text": [text for text, _ in REVIEWS],
            "rating": pl.Series([rating for _, rating in REVIEWS], dtype=pl.Float64),
        }
    )
    return build(PLAN, {"r": rows})


def ids(*words):
    return sorted(HashedWords(V).encode(" ".join(words)))


def telling(least=1.5, **options):
    given = {"node_type": "review", "text": "text", "number": "rating"}
    return TellingWords(
        **{**given, "tokenizer": f"hashed:{V}", "least": least, "occurs": 2, **options}
    )


def test_by_hand(graph):
    # Of six reviews with both, the mean is 3 and the variance (4 · 4 + 2 · 0) / 6 = 8/3. Great and
    # bad stand in two each: z = ±2 √2 / √(8/3) = ±√3; sound, price and the have the mean itself.
    assert telling(1.73).ids(graph).tolist() == ids("great", "bad")
    assert telling(1.74).ids(graph).tolist() == []
    assert telling(0).ids(graph).tolist() == ids("great", "bad", "sound", "price", "the")
    assert telling(0, occurs=3).ids(graph).tolist() == ids("sound", "price")


def test_only_they_are_hidden(graph, written):
    words = HashedWords(V).encode("the great sound of bad strings")
    row = torch.tensor([graph.nodes("review").start, *words])
    kind = torch.tensor([Kind.NODE, *[Kind.TEXT] * 6])
    tokens = Tokens.of(row, kind, torch.tensor([0, 7]))
    options = {"vocabulary": V, "among": telling().model_dump(), "masking": {"share": 1.0}}
    corrupted = objective.build({"name": "masked_language", **options}).corrupt(
        written(graph, tokens)
    )
    assert corrupted.targets["token"].tolist() == [2, 5]
    hidden = corrupted.views[0].tokens
    assert hidden.id[[2, 5]].tolist() == [Special.MASK] * 2
    assert hidden.id[[0, 1, 3, 4, 6]].tolist() == row[[0, 1, 3, 4, 6]].tolist()


def test_where_all_are_alike_nothing_tells():
    rows = pl.DataFrame({"user": ["u", "u"], "review": ["a", "b"], "text": ["x", "y"]})
    alike = build(PLAN, {"r": rows.with_columns(rating=pl.lit(4.0))})
    assert telling(0, occurs=1).ids(alike).tolist() == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"number": "text"}, "a number column of 'review', got 'text' of kind text"),
        ({"text": "rating"}, "a text column of 'review', got 'rating' of kind number"),
        ({"node_type": "item"}, "'item'"),
    ],
)
def test_columns_that_are_not_there(graph, options, message):
    given = {"name": "masked_language", "vocabulary": V, "among": telling(**options).model_dump()}
    with pytest.raises(GraphRecError, match=message):
        objective.build(given).check(Outline.of(graph))


def test_whole_words_are_chosen_otherwise():
    with pytest.raises(GraphRecError, match="masked_language: expected whole or among, got both"):
        objective.build(
            {"name": "masked_language", "vocabulary": V, "whole": True, "among": telling()}
        )

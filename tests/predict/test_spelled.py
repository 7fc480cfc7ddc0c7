"""Items ranked and rated by spelling, against the probability of every name written out."""

from typing import Any

import polars as pl
import pytest
import torch

from graphrec_pt import Graph, Model, Predictor, Stage, Trainer
from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.data.build import build
from graphrec_pt.predict.spelled import SpelledScorer
from graphrec_pt.tokens.identifiers import identifier
from graphrec_pt.tokens.join import side_by_side, specials
from graphrec_pt.tokens.kind import Kind, Special
from graphrec_pt.tokens.tokens import Tokens

ITEMS, USERS, VALUES = 12, 24, ("1", "2.5", "5")
NETWORK = {
    "name": "graph_transformer",
    "width": 32,
    "layers": 2,
    "heads": 2,
    "mode": "causal",
    "structure": {"position": 64, "word": 16},
    "dropout": 0.0,
}
PAIRS = {
    "name": "both_ends",
    "source": {"name": "history", "window": 2, "before": "exclude"},
    "target": {"name": "history", "relations": ["rev_buys"], "window": 1},
}
NEXT = "after {history} comes => {item}"
RATES = "how does {user} rate {item} ? => {weight}"


@pytest.fixture(scope="module")
def circle() -> Graph:
    """Return a shop in which everybody buys the items in one order, round and round."""
    rows = [
        (f"u{user}", f"i{(user + step) % ITEMS}", step, float(VALUES[(user + step) % 3]))
        for user in range(USERS)
        for step in range(4)
    ]
    table = pl.DataFrame(rows, schema=["user", "item", "time", "stars"], orient="row")
    items = pl.DataFrame(
        {"id": [f"i{n}" for n in range(ITEMS)], "title": [f"thing {n}" for n in range(ITEMS)]}
    )
    buys = {
        "table": "buys",
        "source": "user.user",
        "target": "item.item",
        "time": "time",
        "weight": "stars",
        "interaction": True,
    }
    item = {"table": "items", "columns": {"title": "text"}, "title": "title"}
    plan = {"nodes": {"user": {}, "item": item}, "edges": {"buys": buys}}
    return build(plan, {"buys": table, "items": items})


def asking(pairs: bool, **options: Any) -> Stage:
    slots = ["user", "item"] if pairs else ["history", "item"]
    spelled = {"name": "spelled", "beams": ITEMS, "values": VALUES, **options}
    return Stage(
        sampler=PAIRS if pairs else {"name": "history", "window": 2},
        linearizer={
            "name": "verbalizer",
            "phrases": [RATES if pairs else NEXT],
            "slots": {name: {"as": "name"} for name in slots},
        },
        objectives=[spelled],
        roots="buys" if pairs else "user",
    )


def model_of(graph: Graph) -> Model:
    model = Model.of(graph, backbone=NETWORK, text="trained:300", seed=3)
    with torch.no_grad():  # so that words differ
        model.words.copy_(
            torch.randn(model.words.shape, generator=torch.Generator().manual_seed(1))
        )
    return model


def logp(predictor: Predictor, tokens: Tokens, text: str) -> torch.Tensor:
    """Return log p(text, end | prompt) of every sequence, by one pass over it all."""
    model, reading = predictor.model, predictor.reading
    found = reading.taught.objectives["spelled"].readout()
    assert model.tokenizer is not None
    ids = torch.tensor(model.tokenizer.encode(text))
    size = len(tokens)
    ptr = torch.arange(size + 1) * len(ids)
    written = Tokens.of(ids.repeat(size), Kind.TEXT, ptr)
    begun = found.prompt(reading.graph, tokens).tokens
    whole = side_by_side([begun, written, specials(Special.EOS, size)])
    with torch.no_grad():
        view = found.prompt(reading.graph, tokens)
        hidden = model.encode(type(view)(whole, view.mode)).hidden
        vocabulary = found.vocabulary(model, torch.nn.Identity())
        scores = vocabulary.logp(hidden).double()
    total = torch.zeros(size, dtype=torch.float64)
    for row in range(size):
        end = int(whole.ptr[row + 1])
        for place, id in enumerate([*ids.tolist(), vocabulary.end]):
            total[row] += scores[end - len(ids) - 2 + place, id]
    return total


def test_with_beams_for_all_every_name_has_its_probability(circle: Graph) -> None:
    predictor = Predictor(model_of(circle).eval(), circle, stage=asking(False))
    users = torch.tensor(list(circle.nodes("user"))[:5])
    scorer = predictor.scorer(users)
    assert isinstance(scorer, SpelledScorer)
    scores = scorer.scores(users)
    tokens = predictor.reading.tokens(users)
    names = identifier.build("digits").names(circle, "item").to_list()
    expected = torch.stack([logp(predictor, tokens, name) for name in names], dim=1)
    torch.testing.assert_close(scores.double(), expected, rtol=1e-4, atol=1e-4)
    assert float(scores.std(1).min()) > 0.1  # the names do differ


def test_names_that_are_not_found_share_the_lowest_score(circle: Graph) -> None:
    users = torch.tensor(list(circle.nodes("user"))[:4])
    model = model_of(circle).eval()
    every = Predictor(model, circle, stage=asking(False)).scorer(users).scores(users)
    few = Predictor(model, circle, stage=asking(False, beams=3)).scorer(users).scores(users)
    for all_, some in zip(every, few, strict=True):
        found = some > some.min()
        assert 1 <= int(found.sum()) <= 3
        torch.testing.assert_close(some[found], all_[found])
        assert len(some[~found].unique()) == 1


@pytest.mark.parametrize("expected", [True, False])
def test_a_rating_is_the_mean_of_the_values_by_their_probability(
    circle: Graph, expected: bool
) -> None:
    predictor = Predictor(model_of(circle).eval(), circle, stage=asking(True, expected=expected))
    edges = circle.edges("buys")
    pairs = torch.stack([edges.source, edges.target], dim=1)[:6]
    chance = torch.stack(
        [logp(predictor, predictor.reading.tokens(pairs), value) for value in VALUES], dim=1
    ).softmax(1)
    number = torch.tensor([float(value) for value in VALUES], dtype=torch.float64)
    wanted = (chance * number).sum(1) if expected else number[chance.argmax(1)]
    torch.testing.assert_close(predictor.rate(pairs), wanted, rtol=1e-4, atol=1e-4)


def test_what_comes_next_is_learned_and_only_items_are_written(circle: Graph) -> None:
    model = Model.of(circle, backbone=NETWORK, text="trained:300", seed=0)
    given = dict(asking(True)) | {"linearizer": asking(False).linearizer, "steps": 160}
    rate = {"lr": 5e-3, "schedule": "cosine"}
    stage = Stage(**{**given, "objectives": [{"name": "spelled"}], "optimization": rate})
    Trainer(seed=0).fit(model, circle, stage)
    users = torch.tensor(list(circle.nodes("user")))
    best = Predictor(model, circle, stage=asking(False)).rank(users, 1).items.squeeze(1)
    last = [int(circle.raw_id(int(user))[1:]) + 3 for user in users]
    right = [
        circle.raw_id(int(item)) == f"i{(at + 1) % ITEMS}"
        for item, at in zip(best, last, strict=True)
    ]
    assert sum(right) >= 0.8 * USERS  # one of twelve by chance


def test_bad_values_names_and_linearizers(circle: Graph) -> None:
    with pytest.raises(GraphRecError, match=r"spelled\.values: expected numbers as text, got five"):
        asking(True, values=["five"])
    users = torch.tensor(list(circle.nodes("user"))[:2])
    given = dict(asking(False)) | {"linearizer": {"name": "text", "base": "history"}}
    stage = Stage(**{**given, "objectives": [{"name": "spelled"}]})
    predictor = Predictor(model_of(circle), circle, stage=stage)
    with pytest.raises(GraphRecError, match="a linearizer that spells names, got TextLinearizer"):
        predictor.scorer(users).scores(users)
    hashed = Model.of(circle, backbone=NETWORK, text="hashed:8")
    predictor = Predictor(hashed, circle, stage=asking(False))
    with pytest.raises(GraphRecError, match="trie: expected names that differ, got 'item_"):
        predictor.scorer(users).scores(users)

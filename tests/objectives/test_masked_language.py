"""Masked words, alone, of opinion, or beside masked nodes."""

import math
from collections.abc import Callable
from dataclasses import replace
from math import exp, log
from typing import Any

import polars as pl
import pytest
import torch

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.data.build import build as build_graph
from graphrec_pt.graph.graph import Graph
from graphrec_pt.graph.spec import GraphSpec
from graphrec_pt.models.model import Model
from graphrec_pt.models.transformer import GraphTransformer
from graphrec_pt.models.view import Encoded
from graphrec_pt.objectives.masked_language import OpinionWords
from graphrec_pt.objectives.objective import objective
from graphrec_pt.tokens.kind import Kind, Special
from graphrec_pt.tokens.tokens import Tokens
from graphrec_pt.tokens.words import HashedWords

V = 8


def language(**options):
    return objective.build({"name": "masked_language", "vocabulary": V, **options})


def titles(rows, items=6, letters=5):
    """Return sequences of `items` nodes with so many text tokens each."""
    size = items * (1 + letters)
    place = torch.arange(size) % (1 + letters)
    kind = torch.where(place == 0, int(Kind.NODE), int(Kind.TEXT)).repeat(rows)
    word = (torch.arange(size) // (1 + letters)).repeat(rows)
    ids = torch.where(kind == Kind.NODE, 16 + word, word % V)
    return Tokens.of(ids, kind, size * torch.arange(rows + 1), word=word)


def test_shares_of_what_is_put_there(shop, written):
    tokens = titles(800)
    corrupted = language().corrupt(written(shop, tokens))
    seen, at = corrupted.views[0].tokens, corrupted.targets["token"]
    assert corrupted.count == len(at) == 800 * round(0.15 * 30)
    assert torch.equal(corrupted.targets["text"], tokens.id[at])
    masked = (seen.kind[at] == Kind.SPECIAL) & (seen.id[at] == Special.MASK)
    swapped = (seen.kind[at] == Kind.TEXT) & (seen.id[at] != tokens.id[at])
    assert float(masked.double().mean()) == pytest.approx(0.8, abs=0.03)
    assert float(swapped.double().mean()) == pytest.approx(0.1, abs=0.03)
    assert int(seen.id[at][swapped].max()) < V
    others = torch.ones_like(tokens.id, dtype=torch.bool).index_fill(0, at, False)
    assert torch.equal(seen.id[others], tokens.id[others])
    assert torch.equal(seen.kind[others], tokens.kind[others])


def test_whole_words(shop, written):
    tokens = titles(50)
    chosen = language(whole=True, masking={"share": 0.3, "everywhere": False})
    at = chosen.corrupt(written(shop, tokens)).targets["token"]
    hidden = torch.zeros_like(tokens.id).index_fill(0, at, 1).reshape(50, 6, 6)
    assert bool((hidden[:, :, 0] == 0).all())  # nodes stay
    assert set(hidden[:, :, 1:].sum(2).flatten().tolist()) == {0, 5}  # all of a title or nothing
    assert hidden[:, :, 1].sum(1).tolist() == [2] * 50


def test_hand_computed_with_bias(shop, written):
    model = Model.of(shop, backbone=GraphTransformer(width=2, heads=1), text=V).double()
    chosen = language()
    corrupted = chosen.corrupt(written(shop, titles(1, items=1, letters=3)))
    (at,) = corrupted.targets["token"].tolist()
    head = chosen.head(model.spec, 2).double()
    head.transform = None  # tested with the heads
    bias = torch.linspace(-1, 1, V, dtype=torch.float64)
    head.bias.data.copy_(bias)
    hidden = torch.tensor([[1.0, -2], [3, 1], [2, 2], [0, 5]]).double()
    loss = chosen.loss([Encoded(corrupted.views[0], hidden)], corrupted, model, head)
    words = model.embedding.text.weight.detach()
    scores = [float(w @ hidden[at] + b) for w, b in zip(words, bias, strict=True)]
    expected = math.log(sum(math.exp(s) for s in scores)) - scores[0]  # the title is all 0
    assert float(loss.detach()) == pytest.approx(expected, abs=1e-9)
    head = chosen.head(model.spec, 2).double()

    def resample(rows):
        return chosen.loss([Encoded(corrupted.views[0], rows)], corrupted, model, head)

    assert torch.autograd.gradcheck(resample, [hidden.requires_grad_()])


def test_vocabulary_must_be_that_of_the_model(shop, written):
    model = Model.of(shop, backbone=GraphTransformer(width=2, heads=1), text=V + 1)
    chosen = language()
    corrupted = chosen.corrupt(written(shop, titles(1)))
    shown = Encoded(corrupted.views[0], torch.zeros(36, 2))
    with pytest.raises(GraphRecError, match="a model with text: 8, got 9"):
        chosen.loss([shown], corrupted, model, chosen.head(model.spec, 2))


def test_learns_titles(shop, letters, fit):
    # Every title is one letter three times: two of them tell the third.
    names = pl.Series("title", [chr(97 + n % 7) * 3 for n in range(20)])
    told = replace(shop, tables={**shop.tables, "item": shop.tables["item"].with_columns(names)})
    found = fit(
        told,
        {"name": "masked_language", "vocabulary": 128, "masking": {"share": 0.2}},
        {"name": "history", "window": 1},
        {"name": "text", "base": "history", "tokenizer": letters, "nodes": False},
        torch.arange(15),
        steps=100,
        rate=2e-2,
        text=128,
        structure={"position": 8},
    )
    assert found.losses[0] > 4
    assert found.last < 0.3 * math.log(7)


TEXT = {
    "name": "masked_token",
    "vocabulary": 128,
    "types": ["brand", "code"],
    "masking": {"share": 0.4, "mask": 0.5, "random": 0.5},
}

HOPS = {"name": "k_hop", "fanout": [8]}

PAST, EVENTS = {"name": "history"}, {"name": "history"}


def rows_of_fields(shop: Graph, making: Any, letters: Any, epoch: int = 0) -> Any:
    """Return items with their title, brand, codes and users: a row of columns each."""
    text = {"name": "text", "tokenizer": letters, "base": "subgraph", "nodes": False}
    items = torch.arange(16, 35)
    return making.examples(making.prepared(shop, HOPS, text, items), items - 16, epoch=epoch)


def test_masked_token_by_hand(toy: Graph, making: Any, hand: Any) -> None:
    plain = {"name": "masked_token", "candidates": {"transform": False}, "masking": {"share": 1.0}}
    chosen: Any = objective.build(plain)
    preparation = making.prepared(toy, PAST, EVENTS, torch.tensor([0]))
    corrupted = chosen.corrupt(making.examples(preparation, [0]))
    model = hand.model(toy, {"item": [[1, 0], [0, 1], [0, 0]]})
    loss = chosen.loss(
        [hand.encoded([[2, 0], [1, 1]])], corrupted, model, chosen.head(GraphSpec.of(toy), 2)
    )
    # Items 2 and 3 in a catalogue of three: scores (2, 0, 0) and (1, 1, 0).
    expected = log(1 + 2 * exp(-2)) + log(2 + exp(-1))
    assert loss.item() == pytest.approx(expected / 2)


def test_every_hidden_token_weighs_the_same(
    shop: Graph, making: Any, letters: Any, hand: Any
) -> None:
    """Vectors of 0 make all 128 letters alike, all five brands, all nine codes."""
    chosen: Any = objective.build({**TEXT, "candidates": {"transform": False}})
    corrupted = chosen.corrupt(rows_of_fields(shop, making, letters))
    at = corrupted.targets
    model = hand.model(shop, {"brand": [[0, 0]] * 5, "code": [[0, 0]] * 9})
    with_text = Model.of(shop, backbone=GraphTransformer(width=2, heads=1), text=128).double()
    model.embedding.text = with_text.embedding.text
    with torch.no_grad():
        model.embedding.text.weight.zero_()  # type: ignore[union-attr]
    head = chosen.head(GraphSpec.of(shop), 2).double()
    with torch.no_grad():
        for parameter in head["text"].parameters():
            parameter.zero_()
    seen = corrupted.views[0].tokens
    states = hand.encoded(torch.ones(len(seen.id), 2), seen.ptr.tolist())
    brands = int((at["nodes.type"] == 2).sum())
    codes, words = len(at["nodes.node"]) - brands, len(at["text.text"])
    assert min(brands, codes, words) > 2
    expected = brands * log(5) + codes * log(9) + words * log(128)
    loss = chosen.loss([states], corrupted, model, head)
    assert corrupted.count == brands + codes + words
    assert loss.item() == pytest.approx(expected / corrupted.count)


def test_replacements_come_from_the_own_column(shop: Graph, making: Any, letters: Any) -> None:
    swapped = {Kind.NODE: 0, Kind.TEXT: 0}
    for epoch in range(4):
        examples = rows_of_fields(shop, making, letters, epoch)
        corrupted = objective.build(TEXT).corrupt(examples)
        before, after = examples.tokens, corrupted.views[0].tokens
        for name, kind in (("nodes", Kind.NODE), ("text", Kind.TEXT)):
            token = corrupted.targets[f"{name}.token"]
            assert bool((before.kind[token] == kind).all())
            kept = token[after.kind[token] == kind]
            swapped[kind] += int((after.id[kept] != before.id[kept]).sum())
            masked = token[after.kind[token] == Kind.SPECIAL]
            assert len(kept) + len(masked) == len(token)
            assert set(after.id[masked].tolist()) <= {int(Special.MASK)}
            assert torch.equal(after.type, before.type)  # MASK still says of which column
            if kind == Kind.NODE:
                assert torch.equal(shop.csr.node_type(after.id[kept]), before.type[kept])
            else:
                assert bool((after.id[kept] < 128).all())
        others = torch.ones(len(before.id), dtype=torch.bool)
        for name in ("nodes", "text"):
            others[corrupted.targets[f"{name}.token"]] = False
        assert torch.equal(after.id[others], before.id[others])
    assert min(swapped.values()) > 10


def test_a_vocabulary_of_one_is_refused() -> None:
    with pytest.raises(GraphRecError, match="vocabulary"):
        objective.build({"name": "masked_token", "vocabulary": 1})


def test_gradients_of_masked_token(shop: Graph, making: Any, letters: Any, hand: Any) -> None:
    examples = rows_of_fields(shop, making, letters)
    assert hand.gradients_hold({**TEXT, "masking": {"share": 0.1}}, examples)


def test_learns_items_from_their_neighbours(
    ring: Graph, noise: Graph, fit: Callable[..., Any]
) -> None:
    given: dict[str, Any] = {"structure": {"position": 8}, "batch": 96, "rate": 2e-2, "steps": 50}
    ids = torch.arange(24).repeat(4)
    found = fit(ring, {"name": "masked_token"}, PAST, EVENTS, ids, **given)
    assert found.losses[0] > 0.8 * log(12)
    assert found.last < 0.4 * log(12)
    found = fit(noise, {"name": "masked_token"}, PAST, EVENTS, torch.arange(384), **given)
    assert found.last > 0.9 * log(12)


BUCKETS = 4096

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
    return build_graph(PLAN, {"r": rows})


def ids(*words):
    return sorted(HashedWords(BUCKETS).encode(" ".join(words)))


def opinion(least=1.5, **options):
    given = {"node_type": "review", "text": "text", "number": "rating"}
    return OpinionWords(
        **{
            **given,
            "tokenizer": f"hashed:{BUCKETS}",
            "least": least,
            "occurs": 2,
            **options,
        }
    )


def test_opinion_words_by_hand(graph):
    # Of six reviews with both, the mean is 3 and the variance (4 · 4 + 2 · 0) / 6 = 8/3. Great and
    # bad stand in two each: z = ±2 √2 / √(8/3) = ±√3; sound, price and the have the mean itself.
    assert opinion(1.73).ids(graph).tolist() == ids("great", "bad")
    assert opinion(1.74).ids(graph).tolist() == []
    assert opinion(0).ids(graph).tolist() == ids("great", "bad", "sound", "price", "the")
    assert opinion(0, occurs=3).ids(graph).tolist() == ids("sound", "price")


def test_only_they_are_hidden(graph, written):
    words = HashedWords(BUCKETS).encode("the great sound of bad strings")
    row = torch.tensor([graph.nodes("review").start, *words])
    kind = torch.tensor([Kind.NODE, *[Kind.TEXT] * 6])
    tokens = Tokens.of(row, kind, torch.tensor([0, 7]))
    options = {
        "vocabulary": BUCKETS,
        "among": opinion().model_dump(),
        "masking": {"share": 1.0},
    }
    corrupted = objective.build({"name": "masked_language", **options}).corrupt(
        written(graph, tokens)
    )
    assert corrupted.targets["token"].tolist() == [2, 5]
    hidden = corrupted.views[0].tokens
    assert hidden.id[[2, 5]].tolist() == [Special.MASK] * 2
    assert hidden.id[[0, 1, 3, 4, 6]].tolist() == row[[0, 1, 3, 4, 6]].tolist()


def test_where_all_are_alike_nothing_tells():
    rows = pl.DataFrame({"user": ["u", "u"], "review": ["a", "b"], "text": ["x", "y"]})
    alike = build_graph(PLAN, {"r": rows.with_columns(rating=pl.lit(4.0))})
    assert opinion(0, occurs=1).ids(alike).tolist() == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"number": "text"}, "a number column of 'review', got 'text' of kind text"),
        ({"text": "rating"}, "a text column of 'review', got 'rating' of kind number"),
        ({"node_type": "item"}, "'item'"),
    ],
)
def test_columns_that_are_not_there(graph, options, message):
    given = {
        "name": "masked_language",
        "vocabulary": BUCKETS,
        "among": opinion(**options).model_dump(),
    }
    with pytest.raises(GraphRecError, match=message):
        objective.build(given).check(GraphSpec.of(graph))


def test_whole_words_are_chosen_otherwise():
    with pytest.raises(GraphRecError, match="masked_language: expected whole or among, got both"):
        objective.build(
            {
                "name": "masked_language",
                "vocabulary": BUCKETS,
                "whole": True,
                "among": opinion(),
            }
        )


BERT = {
    "name": "hugging_face",
    "model": {
        "model_type": "bert",
        "vocab_size": V,
        "hidden_size": 8,
        "num_hidden_layers": 1,
        "num_attention_heads": 1,
        "intermediate_size": 8,
        "max_position_embeddings": 64,
    },
    "structure": {},
    "words": True,
}


def test_a_backbone_has_the_only_words(shop: Graph, written: Any) -> None:
    model = Model.of(shop, backbone=BERT).eval()
    assert model.embedding.text is None
    chosen = objective.build("masked_language").with_words(model.tokenizer, model.num_words)
    corrupted = chosen.corrupt(written(shop, titles(2)))
    encoded = model.encode(corrupted.views[0])
    head = chosen.head(model.spec, 8)
    loss = chosen.loss([encoded], corrupted, model, head)
    # By the head of the backbone and its words, by hand.
    hidden = encoded.hidden[corrupted.targets["token"]]
    own: Any = model.backbone
    logits = own.word_head.transform(hidden) @ own.words.weight.T + own.word_head.bias
    expected = torch.nn.functional.cross_entropy(logits, corrupted.targets["text"])
    assert float(loss.detach()) == pytest.approx(float(expected.detach()), abs=1e-5)
    loss.backward()
    assert float(own.words.weight.grad.abs().sum()) > 0

    without = Model.of(shop, backbone={**BERT, "head": False}).eval()
    encoded = without.encode(corrupted.views[0])
    loss = chosen.loss([encoded], corrupted, without, head)
    hidden = encoded.hidden[corrupted.targets["token"]]
    expected = head.loss(hidden, without.words, corrupted.targets["text"])
    assert float(loss.detach()) == pytest.approx(float(expected.detach()), abs=1e-6)


def test_the_vocabulary_is_that_of_the_model(shop: Graph, written: Any) -> None:
    with pytest.raises(GraphRecError, match=r"a model with words.*model.text: trained:8000"):
        objective.build("masked_language").corrupt(written(shop, titles(1)))
    both = objective.build({"name": "masked_token", "vocabulary": None})
    assert Kind.TEXT in both.needs.kinds
    assert both.with_words(None, V).vocabulary == V  # type: ignore[attr-defined]
    alone = objective.build("masked_token")
    assert alone.with_words(None, V) is alone

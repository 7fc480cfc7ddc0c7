"""Masked language: shares, whole words, and titles that spell out their item."""

import math
from dataclasses import replace

import polars as pl
import pytest
import torch

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.models.model import Model
from graphrec_pt.models.transformer import GraphTransformer
from graphrec_pt.models.view import Encoded
from graphrec_pt.objectives.objective import objective
from graphrec_pt.tokens.kind import Kind, Special
from graphrec_pt.tokens.tokens import Tokens

V = 8


def build(**options):
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
    corrupted = build().corrupt(written(shop, tokens))
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
    chosen = build(whole=True, masking={"share": 0.3, "everywhere": False})
    at = chosen.corrupt(written(shop, tokens)).targets["token"]
    hidden = torch.zeros_like(tokens.id).index_fill(0, at, 1).reshape(50, 6, 6)
    assert bool((hidden[:, :, 0] == 0).all())  # nodes stay
    assert set(hidden[:, :, 1:].sum(2).flatten().tolist()) == {0, 5}  # all of a title or nothing
    assert hidden[:, :, 1].sum(1).tolist() == [2] * 50


def test_hand_computed_with_bias(shop, written):
    model = Model.of(shop, backbone=GraphTransformer(width=2, heads=1), text=V).double()
    chosen = build()
    corrupted = chosen.corrupt(written(shop, titles(1, items=1, letters=3)))
    (at,) = corrupted.targets["token"].tolist()
    head = chosen.head(model.outline, 2).double()
    head.transform = None  # tested with the heads
    bias = torch.linspace(-1, 1, V, dtype=torch.float64)
    head.bias.data.copy_(bias)
    hidden = torch.tensor([[1.0, -2], [3, 1], [2, 2], [0, 5]]).double()
    loss = chosen.loss([Encoded(corrupted.views[0], hidden)], corrupted, model, head)
    words = model.embedding.text.weight.detach()
    scores = [float(w @ hidden[at] + b) for w, b in zip(words, bias, strict=True)]
    expected = math.log(sum(math.exp(s) for s in scores)) - scores[0]  # the title is all 0
    assert float(loss.detach()) == pytest.approx(expected, abs=1e-9)
    head = chosen.head(model.outline, 2).double()

    def again(rows):
        return chosen.loss([Encoded(corrupted.views[0], rows)], corrupted, model, head)

    assert torch.autograd.gradcheck(again, [hidden.requires_grad_()])


def test_vocabulary_must_be_that_of_the_model(shop, written):
    model = Model.of(shop, backbone=GraphTransformer(width=2, heads=1), text=V + 1)
    chosen = build()
    corrupted = chosen.corrupt(written(shop, titles(1)))
    shown = Encoded(corrupted.views[0], torch.zeros(36, 2))
    with pytest.raises(GraphRecError, match="a model with text: 8, got 9"):
        chosen.loss([shown], corrupted, model, chosen.head(model.outline, 2))


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

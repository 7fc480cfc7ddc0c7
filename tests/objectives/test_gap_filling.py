"""Gap filling: how encoder and decoder stand side by side, that nothing leaks, what is learnt."""

from dataclasses import replace
from math import log

import pytest
import torch

from graphrec_pt.models.model import Model
from graphrec_pt.models.transformer import GraphTransformer
from graphrec_pt.models.view import Encoded
from graphrec_pt.objectives.gap_filling import with_decoder
from graphrec_pt.objectives.objective import objective
from graphrec_pt.tokens.kind import Kind, Special
from graphrec_pt.tokens.tokens import Tokens

ITEM = 16  # first item of the board


def histories(*rows):
    ids = torch.tensor([ITEM + n for row in rows for n in row], dtype=torch.int64)
    ptr = torch.tensor([0, *(len(row) for row in rows)]).cumsum(0)
    ones = torch.ones_like(ids)
    return Tokens.of(ids, Kind.NODE, ptr, type=ones, hop=ones)


def build(**options):
    return objective.build({"name": "gap_filling", **options})


def test_encoder_and_decoder_by_hand():
    tokens = histories([5, 6, 7], [], [8])
    view = with_decoder(tokens, tokens)
    bos, item = Special.BOS, ITEM
    assert view.tokens.ptr.tolist() == [0, 6, 7, 9]  # an empty one has nothing but BOS
    expected = [item + 5, item + 6, item + 7, bos, item + 5, item + 6, bos, item + 8, bos]
    assert view.tokens.id.tolist() == expected
    assert view.tokens.position.tolist() == [0, 1, 2, 0, 1, 2, 0, 0, 0]
    assert view.tokens.hop.tolist() == [1, 1, 1, 2, 2, 2, 2, 1, 2]
    assert view.prefix.tolist() == [3, 0, 1]
    assert view.mode == "prefix"


def test_gaps_are_hidden_from_the_encoder_and_asked_of_the_decoder(board, written):
    tokens = histories(*[list(range(10))] * 30)
    corrupted = build().corrupt(written(board, tokens))
    view, at = corrupted.views[0], corrupted.targets
    seen = view.tokens
    assert corrupted.count == 30 * 4
    masked = ((seen.kind == Kind.SPECIAL) & (seen.id == Special.MASK)).nonzero().squeeze(1)
    assert torch.equal(masked + 10, at["token"])  # the place of the gap, in the other half
    assert torch.equal(seen.position[masked], seen.position[at["token"]])
    assert torch.equal(at["node"] - ITEM, seen.position[at["token"]])


def test_nothing_leaks_from_the_gap_or_what_comes_later(board, written):
    shape = GraphTransformer(
        width=8, layers=2, heads=2, dropout=0.0, structure={"position": 16, "hop": 3}
    )
    model = Model.of(board, backbone=shape)
    tokens = histories([0, 1, 2, 3, 4, 5, 6, 7])
    corrupted = build().corrupt(written(board, tokens))
    view, at = corrupted.views[0], corrupted.targets
    gaps = (at["node"] - ITEM).tolist()
    plain = model.encode(view).hidden[at["token"]]
    for other in range(8):
        ids = torch.where(view.tokens.id == ITEM + other, ITEM + 15, view.tokens.id)
        ids = torch.where(view.tokens.kind == Kind.NODE, ids, view.tokens.id)
        changed = model.encode(replace(view, tokens=replace(view.tokens, id=ids)))
        changed = changed.hidden[at["token"]]
        for row, gap in enumerate(gaps):
            hidden = other in gaps and other >= gap  # itself, or a gap further on
            assert torch.equal(changed[row], plain[row]) == hidden, (gap, other)


def test_hand_computed(board, written):
    model = Model.of(board, backbone=GraphTransformer(width=2, heads=1, layers=1)).double()
    table = torch.zeros(16, 2, dtype=torch.float64)
    table[3, 0] = 2.0
    with torch.no_grad():
        model.features.of_type.of_item.parts[0].table.weight.copy_(table)
    chosen = build(masking={"last": 1.0, "everywhere": False}, candidates={"transform": False})
    corrupted = chosen.corrupt(written(board, histories([7, 8, 3])))
    assert corrupted.targets["token"].tolist() == [5]
    hidden = torch.zeros(6, 2, dtype=torch.float64)
    hidden[5, 0] = 1.0
    loss = chosen.loss(
        [Encoded(corrupted.views[0], hidden)], corrupted, model, chosen.head(None, 2)
    )
    assert loss.item() == pytest.approx(log(torch.e**2 + 15) - 2)


def test_learns(ring, noise, fit):
    past, plain = {"name": "history"}, {"name": "gap_filling", "candidates": {"transform": False}}
    given = {"structure": {"position": 8, "hop": 3}, "steps": 60, "rate": 2e-2}
    chance = log(12)
    found = fit(ring, plain, past, past, torch.arange(24), **given)
    assert found.losses[0] > 0.8 * chance
    assert found.last < 0.3 * chance
    found = fit(noise, plain, past, past, torch.arange(384), **given)
    assert found.last > 0.8 * chance

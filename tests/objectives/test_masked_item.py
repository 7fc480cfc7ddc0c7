"""Masked items: how many are hidden, and that they are masked nodes."""

import math

import pytest
import torch

from graphrec_pt.models.model import Model
from graphrec_pt.models.transformer import GraphTransformer
from graphrec_pt.models.view import Encoded
from graphrec_pt.objectives.objective import objective
from graphrec_pt.tokens.kind import Kind, Special
from graphrec_pt.tokens.tokens import Tokens

ITEM = 16


def build(**options):
    return objective.build({"name": "masked_item", **options})


def same_length(length, rows):
    ids = ITEM + torch.arange(length).repeat(rows) % 16
    ones = torch.ones_like(ids)
    return Tokens.of(ids, Kind.NODE, length * torch.arange(rows + 1), type=ones, hop=ones)


@pytest.mark.parametrize(
    ("length", "options", "hidden"),
    [
        (10, {}, 2),
        (10, {"share": 0.6}, 6),
        (10, {"share": 0.6, "most": 4}, 4),
        (2, {}, 1),
        (1, {}, 0),
        (3, {"share": 1.0}, 2),
    ],
)
def test_how_many_are_hidden(board, written, length, options, hidden):
    tokens = same_length(length, 7)
    corrupted = build(**options).corrupt(written(board, tokens))
    seen = corrupted.views[0].tokens
    masked = (seen.kind == Kind.SPECIAL) & (seen.id == Special.MASK)
    assert torch.bincount(seen.sequence_of()[masked], minlength=7).tolist() == [hidden] * 7
    assert corrupted.targets["token"].tolist() == masked.nonzero().squeeze(1).tolist()
    assert torch.equal(corrupted.targets["node"], tokens.id[masked])
    assert torch.equal(seen.type, tokens.type)


def test_a_share_has_the_last_alone(board, written):
    tokens = same_length(10, 2000)
    corrupted = build(last=0.25).corrupt(written(board, tokens))
    at = corrupted.targets["token"]
    count = torch.bincount(at // 10, minlength=2000)
    alone = count == 1
    assert set(count.tolist()) == {1, 2}
    assert float(alone.double().mean()) == pytest.approx(0.25, abs=0.04)
    assert bool((at[alone[at // 10]] % 10 == 9).all())


def test_repeats_stand_alone(board, written):
    ids = torch.full((50,), ITEM + 3)
    ones = torch.ones_like(ids)
    tokens = Tokens.of(ids, Kind.NODE, torch.tensor([0, 50]), type=ones, hop=ones)
    assert build().corrupt(written(board, tokens)).count == 10  # not all fifty of the one item


def test_hand_computed(board, written):
    model = Model.of(board, backbone=GraphTransformer(width=2, heads=1, layers=1)).double()
    chosen = build(candidates={"transform": False})
    corrupted = chosen.corrupt(written(board, same_length(4, 1)))
    (at,) = corrupted.targets["token"].tolist()
    hidden = torch.tensor([[1.0, -2], [3, 1], [2, 2], [0, 5]]).double()
    head = chosen.head(model.outline, 2)
    loss = chosen.loss([Encoded(corrupted.views[0], hidden)], corrupted, model, head)
    scores = [float(v @ hidden[at]) for v in model.table("item").detach()]
    expected = math.log(sum(math.exp(s) for s in scores)) - scores[at]
    assert float(loss.detach()) == pytest.approx(expected, abs=1e-9)


def test_learns_the_missing_twin(twins, fit):
    found = fit(
        twins,
        {"name": "masked_item", "last": 0.2},
        {"name": "history"},
        {"name": "history"},
        torch.arange(32),
        steps=80,
    )
    assert found.losses[0] > 0.8 * math.log(16)
    assert found.last < 0.3 * math.log(16)

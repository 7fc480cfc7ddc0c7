"""Pseudo-masked spans: blocks, the two parts of the loss, and what a span may see."""

import math

import pytest
import torch

from graphrec_pt.models.model import Model
from graphrec_pt.models.transformer import GraphTransformer
from graphrec_pt.models.view import Encoded
from graphrec_pt.objectives.objective import objective
from graphrec_pt.tokens.kind import Kind, Special
from graphrec_pt.tokens.tokens import Tokens

ITEM = 16  # first item of the board


def histories(*rows):
    ids = torch.tensor([ITEM + n for row in rows for n in row])
    ptr = torch.tensor([0, *(len(row) for row in rows)]).cumsum(0)
    ones = torch.ones_like(ids)
    return Tokens.of(ids, Kind.NODE, ptr, type=ones, hop=ones)


def build(**options):
    return objective.build({"name": "pseudo_masked", **options})


def test_blocks(board, written):
    tokens = histories(*[[n % 16 for n in range(40)]] * 200)
    corrupted = build(share=0.2).corrupt(written(board, tokens))
    at, (masked, ordered) = corrupted.targets["token"], corrupted.views
    assert 0.14 < len(at) / 8000 < 0.26
    hidden = (masked.tokens.kind == Kind.SPECIAL) & (masked.tokens.id == Special.MASK)
    assert torch.equal(hidden.nonzero().squeeze(1), at)
    assert torch.equal(ordered.tokens.id, tokens.id)
    assert torch.equal((ordered.order > 0), hidden)
    runs = [[]]
    for here, order in zip(hidden.tolist(), ordered.order.tolist(), strict=True):
        if here and runs[-1] and runs[-1][-1] == order:
            runs[-1].append(order)
        elif here:
            runs.append([order])
    lengths = [len(run) for run in runs[1:]]
    assert max(lengths) == 6  # blocks of one order, neighbours
    single = sum(length == 1 for length in lengths) / len(lengths)
    assert 0.5 < single < 0.75  # .6 single nodes, and spans cut by nearer ones


def test_every_sequence_has_something_hidden_and_something_seen(board, written):
    tokens = histories(*[list(range(n)) for n in (1, 2, 3, 4, 5)] * 20)
    hidden = build(share=1.0, spans=1.0).corrupt(written(board, tokens)).targets["token"]
    count = torch.bincount(tokens.sequence_of()[hidden], minlength=100)
    length = tokens.lengths()
    assert (count < length).all()
    assert (count[length > 1] > 0).all()


def test_hand_computed(board, written):
    model = Model.of(board, backbone=GraphTransformer(width=2, heads=1, layers=1)).double()
    chosen = build(candidates={"transform": False}, partial=0.5)
    corrupted = chosen.corrupt(written(board, histories([1, 5, 9])))
    (at,) = corrupted.targets["token"].tolist()
    hidden = torch.tensor([[1.0, -2], [3, 1], [2, 2]]).double()
    query = torch.tensor([[0.0, 1], [2, -1], [1, 1]]).double()
    head = chosen.head(model.outline, 2)

    def loss(first, second):
        shown = [
            Encoded(corrupted.views[0], first),
            Encoded(corrupted.views[1], torch.zeros_like(second), second),
        ]
        return chosen.loss(shown, corrupted, model, head)

    expected = 0.0
    for weight, rows in ((1.0, hidden), (0.5, query)):
        scores = [float(v @ rows[at]) for v in model.table("item").detach()]
        expected += weight * (math.log(sum(math.exp(s) for s in scores)) - scores[1 + 4 * at])
    assert float(loss(hidden, query).detach()) == pytest.approx(expected, abs=1e-9)
    assert torch.autograd.gradcheck(loss, [hidden.requires_grad_(), query.requires_grad_()])


def test_learns_the_twin(twins, fit):
    past = {"name": "history"}, {"name": "history"}
    found = fit(twins, "pseudo_masked", *past, torch.arange(32), steps=80)
    assert found.losses[0] > 1.6 * math.log(16)  # of two parts
    assert found.last < 0.6 * math.log(16)

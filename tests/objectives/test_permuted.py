"""Nodes predicted in a drawn order, alone or span by span."""

import math
from dataclasses import replace

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
    return objective.build({"name": "permuted", **options})


@pytest.fixture(scope="module")
def model(board):
    shape = GraphTransformer(width=8, layers=2, heads=2, dropout=0.0, structure={"position": 16})
    return Model.of(board, backbone=shape)


def test_the_last_of_the_order_are_predicted(board, written):
    tokens = histories(*[list(range(10))] * 40)
    corrupted = build(masking={"share": 0.4}).corrupt(written(board, tokens))
    view, at = corrupted.views[0], corrupted.targets["token"]
    assert view.two_stream
    assert torch.bincount(at // 10).tolist() == [4] * 40
    order = view.order.reshape(40, 10)
    assert ((order == 0).sum(1) == 6).all()
    assert torch.equal((view.order > 0).nonzero().squeeze(1), at)
    ranks = {tuple(row.argsort().tolist()) for row in order}
    assert len(ranks) > 35  # drawn for each
    assert torch.equal(view.tokens.id, tokens.id)


def test_nothing_leaks_from_the_target_or_what_comes_later(board, written, model):
    tokens = histories([0, 1, 2, 3, 4, 5])
    corrupted = build(masking={"share": 0.6}).corrupt(written(board, tokens))
    view = corrupted.views[0]
    plain = model.encode(view)
    seen = 0
    for token in corrupted.targets["token"].tolist():
        for other in range(6):
            ids = tokens.id.index_fill(0, torch.tensor([other]), ITEM + 15)
            changed = model.encode(replace(view, tokens=replace(tokens, id=ids))).query[token]
            if int(view.order[other]) < int(view.order[token]):
                assert not torch.allclose(changed, plain.query[token], atol=1e-5)
                seen += 1
            else:  # itself, or later in the order
                assert torch.equal(changed, plain.query[token])
    assert seen > 6


def test_a_repeated_node_is_not_told_by_its_twin(board, written):
    tokens = histories([3, 4, 3, 5, 3, 6, 7, 8, 9, 3])
    for seed in range(10):
        chosen = build(masking={"share": 0.5})
        order = chosen.corrupt(written(board, tokens, seed)).views[0].order
        assert len(set(order[tokens.id == ITEM + 3].tolist())) == 1


def test_the_text_of_a_node_comes_with_it(shop, written):
    kind = torch.tensor([Kind.NODE, Kind.TEXT, Kind.TEXT] * 4)
    word = torch.arange(12) // 3
    ids = torch.where(kind == Kind.NODE, 16 + word, word)
    ones = torch.ones_like(ids)
    tokens = Tokens.of(ids, kind, torch.tensor([0, 12]), type=ones, hop=ones, word=word)
    corrupted = build(masking={"share": 0.5}).corrupt(written(shop, tokens))
    order = corrupted.views[0].order.reshape(4, 3)
    assert (order == order[:, :1]).all()
    assert (order[:, 0] > 0).sum() == 2 == corrupted.count


def test_hand_computed(board, written):
    model = Model.of(board, backbone=GraphTransformer(width=2, heads=1, layers=1)).double()
    chosen = build(candidates={"transform": False})
    corrupted = chosen.corrupt(written(board, histories([1, 5, 9])))
    (at,) = corrupted.targets["token"].tolist()
    query = torch.tensor([[1.0, -2], [3, 1], [2, 2]]).double()
    head = chosen.head(model.spec, 2)

    def loss(rows):
        shown = Encoded(corrupted.views[0], torch.zeros_like(rows), rows)
        return chosen.loss([shown], corrupted, model, head)

    scores = [float(v @ query[at]) for v in model.table("item").detach()]
    expected = math.log(sum(math.exp(s) for s in scores)) - scores[1 + 4 * at]
    assert float(loss(query).detach()) == pytest.approx(expected, abs=1e-9)
    assert torch.autograd.gradcheck(loss, [query.requires_grad_()])


def test_learns_the_twin(twins, fit):
    past = {"name": "history"}, {"name": "history"}
    found = fit(twins, "permuted", *past, torch.arange(32), steps=80)
    assert found.losses[0] > 0.8 * math.log(16)
    assert found.last < 0.3 * math.log(16)


def pseudo_masked(**options):
    return objective.build({"name": "pseudo_masked", **options})


def test_blocks(board, written):
    tokens = histories(*[[n % 16 for n in range(40)]] * 200)
    corrupted = pseudo_masked(share=0.2).corrupt(written(board, tokens))
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
    hidden = pseudo_masked(share=1.0, spans=1.0).corrupt(written(board, tokens)).targets["token"]
    count = torch.bincount(tokens.sequence_of()[hidden], minlength=100)
    length = tokens.lengths()
    assert (count < length).all()
    assert (count[length > 1] > 0).all()


def test_hand_computed_of_pseudo_masked(board, written):
    model = Model.of(board, backbone=GraphTransformer(width=2, heads=1, layers=1)).double()
    chosen = pseudo_masked(candidates={"transform": False}, partial=0.5)
    corrupted = chosen.corrupt(written(board, histories([1, 5, 9])))
    (at,) = corrupted.targets["token"].tolist()
    hidden = torch.tensor([[1.0, -2], [3, 1], [2, 2]]).double()
    query = torch.tensor([[0.0, 1], [2, -1], [1, 1]]).double()
    head = chosen.head(model.spec, 2)

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


def test_learns_the_twin_of_pseudo_masked(twins, fit):
    past = {"name": "history"}, {"name": "history"}
    found = fit(twins, "pseudo_masked", *past, torch.arange(32), steps=80)
    assert found.losses[0] > 1.6 * math.log(16)  # of two parts
    assert found.last < 0.6 * math.log(16)

"""Next behaviours: what is shown, what is asked, and a board that runs in steps of two."""

import math

import pytest
import torch

from graphrec_pt.features.seeded import seeded
from graphrec_pt.models.model import Model
from graphrec_pt.models.transformer import GraphTransformer
from graphrec_pt.models.view import Encoded
from graphrec_pt.objectives.objective import objective
from graphrec_pt.tokens.kind import Kind
from graphrec_pt.tokens.tokens import Tokens

ITEM = 16  # first item of the board


def histories(*rows):
    ids = torch.tensor([ITEM + n for row in rows for n in row])
    ptr = torch.tensor([0, *(len(row) for row in rows)]).cumsum(0)
    ones = torch.ones_like(ids)
    return Tokens.of(ids, Kind.NODE, ptr, type=ones, hop=ones, time=torch.arange(len(ids)))


def rows_of(tokens):
    return [tokens.select(n).id.tolist() for n in range(len(tokens))]


def build(**options):
    return objective.build({"name": "next_behaviors", **options})


def test_beginnings_and_what_follows(board, written):
    rows = [[1, 2, 3, 4, 5]] * 60 + [[7], [8, 9], []]
    cuts = set()
    tokens = histories(*rows)
    corrupted = build(steps=3).corrupt(written(board, tokens))
    seen, at = rows_of(corrupted.views[0].tokens), corrupted.targets
    assert len(seen) == 61
    for n, begun in enumerate(seen):
        mine = (at["sequence"] == n).nonzero().squeeze(1)
        history = [ITEM + k for k in ([*rows[:60], [8, 9]])[n]]
        assert begun == history[: len(begun)]
        assert at["node"][mine].tolist() == history[len(begun) : len(begun) + 3]
        assert at["ahead"][mine].tolist() == list(range(len(mine)))
        cuts.add((len(history), len(begun)))
    assert cuts == {(5, 1), (5, 2), (2, 1)}
    assert corrupted.count == 60 * 3 + 1


def test_nothing_of_the_next_event_is_shown(shop, written):
    # user, (relation, item, letter) three times
    ids = torch.tensor([3, *[n for k in range(3) for n in (k, 17 + k, 90 + k)]])
    kind = torch.tensor([Kind.NODE, *[Kind.RELATION, Kind.NODE, Kind.TEXT] * 3])
    types = torch.tensor([0, *[-1, 1, -1] * 3])
    hop = torch.tensor([0, *[k for k in (1, 2, 3) for _ in range(3)]])
    tokens = Tokens.of(ids, kind, torch.tensor([0, 10]), type=types, hop=hop)
    found = set()
    for seed in range(10):
        corrupted = build(steps=1).corrupt(written(shop, tokens, seed))
        found.add(tuple(corrupted.views[0].tokens.id.tolist()))
    assert found == {(3, 0, 17, 90), (3, 0, 17, 90, 1, 18, 91)}


def test_hand_computed(board, written):
    model = Model.of(board, backbone=GraphTransformer(width=2, heads=1, layers=1)).double()
    chosen = build(candidates={"transform": False})
    corrupted = chosen.corrupt(written(board, histories([1, 5, 9])))
    assert len(corrupted.views[0].tokens.id) == 1
    head = seeded(lambda: chosen.head(model.outline, 2), 0).double()
    head["step"].weight.data.copy_(torch.tensor([[0.5, 0], [0, -3.0]]))
    hidden = torch.tensor([[10.0, -20]]).double()

    def loss(rows):
        return chosen.loss([Encoded(corrupted.views[0], rows)], corrupted, model, head)

    expected = 0.0
    for state, target in (([10.5, -20.0], 5), ([10.0, -23.0], 9)):
        scores = [float(v[0] * state[0] + v[1] * state[1]) for v in model.table("item").detach()]
        expected += (math.log(sum(math.exp(s) for s in scores)) - scores[target]) / 2
    assert float(loss(hidden).detach()) == pytest.approx(expected, abs=1e-9)
    assert torch.autograd.gradcheck(loss, [hidden.requires_grad_()])


def test_learns_the_twin(twins, fit):
    past = {"name": "history"}, {"name": "history"}
    chosen = {"name": "next_behaviors", "steps": 1}
    found = fit(twins, chosen, *past, torch.arange(32), steps=60)
    assert found.losses[0] > 0.8 * math.log(16)
    assert found.last < 0.2 * math.log(16)

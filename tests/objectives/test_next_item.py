"""What comes next: one node, several, the target of a whole history."""

import math
from collections.abc import Callable
from math import exp, log
from typing import Any

import numpy as np
import pytest
import torch

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.features.seeded import seeded
from graphrec_pt.graph.graph import Graph
from graphrec_pt.graph.spec import GraphSpec
from graphrec_pt.models.model import Model
from graphrec_pt.models.transformer import GraphTransformer
from graphrec_pt.models.view import Encoded, View
from graphrec_pt.objectives.objective import objective
from graphrec_pt.tokens.kind import Kind, Special
from graphrec_pt.tokens.tokens import Tokens

ITEM = 16  # first item of the board

PAST = {"name": "history"}, {"name": "history"}

PLACED = {"position": 32}


@pytest.fixture(scope="module")
def model(board):
    return Model.of(board, backbone=GraphTransformer(width=2, heads=1, layers=1)).double()


def histories(*rows):
    ids = torch.tensor([ITEM + n for row in rows for n in row])
    ptr = torch.tensor([0, *(len(row) for row in rows)]).cumsum(0)
    ones = torch.ones_like(ids)
    return Tokens.of(ids, Kind.NODE, ptr, type=ones, hop=ones)


def pairs_of(corrupted):
    at = corrupted.targets
    return list(zip(at["token"].tolist(), (at["node"] - ITEM).tolist(), strict=True))


def plain(**options):
    return objective.build({"name": "next_item", **options})


def head_of(chosen, model):
    return chosen.head(model.spec, 2).double()


STRAIGHT = {"transform": False}


def test_hand_computed(board, model, written):
    corrupted = plain().corrupt(written(board, histories([3, 5, 4], [7], [1, 2])))
    assert pairs_of(corrupted) == [(0, 5), (1, 4), (4, 2)]
    assert corrupted.count == 3
    assert corrupted.views[0].mode == "causal"
    chosen = plain(candidates={**STRAIGHT, "temperature": 0.5})
    hidden = torch.tensor([[1.0, 2], [0, 1], [9, 9], [9, 9], [-1, 1], [9, 9]]).double()
    loss = chosen.loss(
        [Encoded(corrupted.views[0], hidden)], corrupted, model, head_of(chosen, model)
    )
    table = model.table("item").detach().numpy()
    expected = 0.0
    for row, target in [((1.0, 2.0), 5), ((0.0, 1.0), 4), ((-1.0, 1.0), 2)]:
        scores = (table[:, 0] * row[0] + table[:, 1] * row[1]) / 0.5
        expected += (math.log(np.exp(scores).sum()) - scores[target]) / 3
    assert float(loss.detach()) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(("negatives", "calibration"), [(1, 0.0), (3, 0.75), (3, 1.0)])
def test_binary_by_hand(board, model, written, negatives, calibration):
    how = {"how": "bce", "negatives": negatives, "calibration": calibration, **STRAIGHT}
    chosen = plain(candidates=how)
    corrupted = chosen.corrupt(written(board, histories([3, 5, 4])))
    hidden = torch.tensor([[30.0, 20], [-20, 40], [9, 9]]).double()
    loss = chosen.loss(
        [Encoded(corrupted.views[0], hidden)], corrupted, model, head_of(chosen, model)
    )
    table = model.table("item").detach().numpy()
    power = calibration * (negatives / 15 - 1) + 1  # α = K / (V − 1), β = α ((1 − 1/α) t + 1/α)
    total = 0.0
    for row, target, steps in zip(
        hidden.numpy(), [5, 4], corrupted.targets["step"].tolist(), strict=False
    ):
        assert len(steps) == negatives
        assert all(1 <= step <= 15 for step in steps)  # never the target itself
        sigma = [1 / (1 + math.exp(-float(table[n] @ row))) for n in range(16)]
        false = [math.log(1 - sigma[(target + step) % 16]) for step in steps]
        total -= (power * math.log(sigma[target]) + sum(false)) / (negatives + 1)
    assert float(loss.detach()) == pytest.approx(total / 2, abs=1e-9)


def test_a_choice_by_hand(board, model, written):
    chosen = plain(candidates={"how": "choice", "temperature": 2.0, **STRAIGHT})
    corrupted = chosen.corrupt(written(board, histories([3, 5, 4])))
    hidden = torch.tensor([[30.0, 20], [-20, 40], [9, 9]]).double()
    head = head_of(chosen, model)
    loss = chosen.loss([Encoded(corrupted.views[0], hidden)], corrupted, model, head)
    table = model.table("item").detach().numpy()
    total = 0.0
    for row, target, steps in zip(
        hidden.numpy(), [5, 4], corrupted.targets["step"].tolist(), strict=False
    ):
        assert len(steps) == 4
        shown = [target, *((target + step) % 16 for step in steps)]
        odds = [math.exp(float(table[n] @ row) / 2) for n in shown]
        total -= math.log(odds[0] / sum(odds))
    assert float(loss.detach()) == pytest.approx(total / 2, abs=1e-9)


def test_calibration_is_that_of_the_published_transform():
    """gSASRec turns the score s into γ with σ(γ) = σ(s)^β and uses plain BCE."""
    share, t, score = 0.1, 0.75, 0.3
    beta = share * ((1 - 1 / share) * t + 1 / share)
    gamma = math.log(1 / ((1 / (1 + math.exp(-score))) ** -beta - 1))
    assert math.log(1 + math.exp(-gamma)) == pytest.approx(
        (1 - t * (1 - share)) * math.log(1 + math.exp(-score)), abs=1e-12
    )


@pytest.mark.parametrize("how", ["softmax", "sampled", "pairwise", "bce", "choice"])
def test_gradients_of_next_item(board, model, written, how):
    chosen = plain(candidates={"how": how, "negatives": 4})
    corrupted = chosen.corrupt(written(board, histories([3, 5, 4], [1, 2])))
    head = head_of(chosen, model)
    hidden = torch.randn(5, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))

    def loss(rows):
        return chosen.loss([Encoded(corrupted.views[0], rows)], corrupted, model, head)

    assert torch.autograd.gradcheck(loss, [hidden.requires_grad_()])


def test_what_is_a_target(board, written):
    tokens = histories([3, 5, 3, 5, 4])
    assert pairs_of(plain(only_last=True).corrupt(written(board, tokens))) == [(3, 4)]
    assert pairs_of(plain(repeats=False).corrupt(written(board, tokens))) == [(0, 5), (3, 4)]
    assert plain(types=["user"]).corrupt(written(board, tokens)).count == 0
    found = set()
    for seed in range(20):
        found |= set(pairs_of(plain(window=2).corrupt(written(board, tokens, seed))))
    assert found == {(0, 5), (0, 3), (1, 3), (1, 5), (2, 5), (2, 4), (3, 4)}


def test_the_token_before_asks_even_if_it_is_no_node(board, written):
    ids = torch.tensor([Special.BOS, 2, 0, ITEM + 3, 0, ITEM + 4])
    kind = torch.tensor([Kind.SPECIAL, *[Kind.NODE, Kind.RELATION] * 2, Kind.NODE])
    kinds = torch.tensor([-1, 0, -1, 1, -1, 1])
    tokens = Tokens.of(ids, kind, torch.tensor([0, 6]), type=kinds)
    at = plain().corrupt(written(board, tokens)).targets
    assert at["token"].tolist() == [0, 2, 4]
    assert at["node"].tolist() == [2, ITEM + 3, ITEM + 4]
    only = plain(types=["item"]).corrupt(written(board, tokens)).targets
    assert only["token"].tolist() == [2, 4]


def test_later_items_change_no_earlier_state(board):
    model = Model.of(board, backbone=GraphTransformer(width=8, dropout=0.0, structure=PLACED))
    first, other = histories([3, 5, 4, 6]), histories([3, 5, 9, 1])
    before, after = (model.encode(View(tokens, "causal")).hidden for tokens in (first, other))
    assert torch.allclose(before[:2], after[:2], atol=1e-6)
    assert not torch.allclose(before[2:], after[2:], atol=1e-3)


def test_unknown_types(board):
    with pytest.raises(GraphRecError, match=r"a node type, got 'itm'.*item"):
        plain(types=["itm"]).check(GraphSpec.of(board))


@pytest.mark.parametrize(
    ("candidates", "chance"),
    [
        ({}, math.log(16)),
        ({"how": "bce"}, math.log(2)),
        ({"how": "pairwise"}, math.log(2)),
        ({"how": "choice"}, math.log(5)),
    ],
)
def test_learns_what_comes_next(board, fit, candidates, chance):
    # The next item is the last one plus two: nothing is left to doubt but the first step.
    chosen = {"name": "next_item", "candidates": candidates}
    found = fit(
        board, chosen, *PAST, torch.arange(16), steps=60, batch=16, rate=2e-2, structure=PLACED
    )
    assert found.losses[0] > 0.8 * chance
    assert found.last < 0.3 * chance


def test_learns_nothing_where_nothing_tells(ring, noise, fit):
    given = {"structure": PLACED, "batch": 96, "rate": 2e-2, "steps": 40}
    assert fit(ring, "next_item", *PAST, torch.arange(24).repeat(4), **given).last < 0.1
    found = fit(noise, "next_item", *PAST, torch.arange(384), **given)
    assert found.last > 0.85 * math.log(12)  # an item is dealt once: log(12 - n) at the n-th


def histories_of_next_behaviors(*rows):
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
    tokens = histories_of_next_behaviors(*rows)
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


def test_hand_computed_of_next_behaviors(board, written):
    model = Model.of(board, backbone=GraphTransformer(width=2, heads=1, layers=1)).double()
    chosen = build(candidates={"transform": False})
    corrupted = chosen.corrupt(written(board, histories_of_next_behaviors([1, 5, 9])))
    assert len(corrupted.views[0].tokens.id) == 1
    head = seeded(lambda: chosen.head(model.spec, 2), 0).double()
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


PAST_TARGET_ITEM, EVENTS = {"name": "history"}, {"name": "history"}

PLAIN = {"name": "target_item", "candidates": {"transform": False}}


def test_target_item_by_hand(toy: Graph, making: Any, hand: Any) -> None:
    chosen: Any = objective.build(PLAIN)
    preparation = making.prepared(toy, PAST_TARGET_ITEM, EVENTS, torch.tensor([0, 1]))
    corrupted = chosen.corrupt(making.examples(preparation, [0, 1]))
    assert corrupted.targets["node"].tolist() == [3, 4]
    assert corrupted.views[0].tokens.id.tolist() == [2, 3]
    model = hand.model(toy, {"item": [[1, 1], [3, 4], [0, 2]]})
    states = hand.encoded([[1, 0], [0, 0.5]], [0, 1, 2])
    # Scores 1, 3, 0 of the first history, .5, 2, 1 of the second.
    first = log(exp(1) + exp(3) + 1) - 3
    second = log(exp(0.5) + exp(2) + exp(1)) - 1
    loss = chosen.loss([states], corrupted, model, chosen.head(None, 2))
    assert loss.item() == pytest.approx((first + second) / 2)


def test_views_before_it_tell_of_a_rating(shop: Graph, making: Any) -> None:
    """Every rating is asked for once, and what was viewed before it is all that is shown."""
    sampler = {"name": "history", "relations": ["views"], "before": "exclude"}
    rated, views = shop.edges("rates"), shop.edges("views")
    preparation = making.prepared(shop, sampler, EVENTS, rated.source, rated.edge)
    every = torch.arange(len(rated.source))
    found = objective.build(PLAIN).corrupt(making.examples(preparation, every))
    assert 0 < found.count < len(every)
    row = 0
    for user, item, when in zip(rated.source, rated.target, rated.time, strict=True):
        mine = (views.source == user) & (views.time < when)
        if not bool(mine.any()):
            continue
        at = found.views[0].tokens
        shown = at.id[at.ptr[row] : at.ptr[row + 1]]
        assert sorted(shown.tolist()) == sorted(views.target[mine].tolist())
        assert found.targets["node"][row] == item
        row += 1
    assert row == found.count


def test_gradients_of_target_item(toy: Graph, making: Any, hand: Any) -> None:
    examples = making.examples(
        making.prepared(toy, PAST_TARGET_ITEM, EVENTS, torch.tensor([0, 1])), [0, 1]
    )
    assert hand.gradients_hold({"name": "target_item"}, examples)


def test_target_item_learns(ring: Graph, noise: Graph, fit: Callable[..., Any]) -> None:
    given = {"structure": {"position": 8}, "steps": 40, "rate": 2e-2}
    chance = log(12)
    found = fit(ring, PLAIN, PAST_TARGET_ITEM, EVENTS, torch.arange(24), **given)
    assert found.losses[0] > 0.8 * chance
    assert found.last < 0.3 * chance
    found = fit(noise, PLAIN, PAST_TARGET_ITEM, EVENTS, torch.arange(384), **given)
    assert found.last > 0.8 * chance

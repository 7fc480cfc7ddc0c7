"""Sentence order: segments, swaps, and columns that tell nothing."""

import math

import pytest
import torch

from graphrec_pt.features.seeded import seeded
from graphrec_pt.kernels.csr import NO_TIME
from graphrec_pt.models.view import Encoded
from graphrec_pt.objectives.objective import objective
from graphrec_pt.tokens.kind import Kind, Special
from graphrec_pt.tokens.tokens import Tokens

ITEM = 16  # first item of the board


def histories(*rows):
    ids = torch.tensor([ITEM + n for row in rows for n in row])
    ptr = torch.tensor([0, *(len(row) for row in rows)]).cumsum(0)
    ones = torch.ones_like(ids)
    return Tokens.of(ids, Kind.NODE, ptr, type=ones, hop=ones, time=torch.arange(len(ids)))


def rows_of(tokens):
    return [tokens.select(n).id.tolist() for n in range(len(tokens))]


def telling(tokens):
    """Return the columns that could tell of an order, beside the ids."""
    names = ("position", "hop", "parent", "slot", "time", "labels", "word")
    found = {name: getattr(tokens, name) for name in names}
    return {name: None if value is None else value.tolist() for name, value in found.items()}


def build(**options):
    return objective.build({"name": "sentence_order", **options})


def test_halves_are_swapped(board, written):
    tokens = histories(*[[1, 2, 3, 4, 5]] * 200, [7], [])
    corrupted = build().corrupt(written(board, tokens))
    seen, at = corrupted.views[0].tokens, corrupted.targets
    assert corrupted.count == 200  # of two events or more
    order, swapped = [17, 18, 19, 20, 21], [20, 21, 17, 18, 19]
    for row, label in zip(rows_of(seen), at["label"].tolist(), strict=True):
        assert row == (order if label else swapped)
    assert 70 < int(at["label"].sum()) < 130
    size = torch.bincount(seen.sequence_of()[at["first"]])
    assert torch.equal(size, torch.where(at["label"], 3, 2))  # what stands first
    assert sorted([*at["first"].tolist(), *at["second"].tolist()]) == list(range(1000))


def test_sep_divides_and_roots_stay(board, written):
    ids = torch.tensor([Special.CLS, 3, 17, Special.SEP, 18, 19, Special.EOS])
    kinds = [Kind.SPECIAL, Kind.NODE, Kind.NODE, Kind.SPECIAL, Kind.NODE, Kind.NODE, Kind.SPECIAL]
    hop = torch.tensor([-1, 0, 1, -1, 1, 1, -1])
    tokens = Tokens.of(ids, torch.tensor(kinds), torch.tensor([0, 7]), hop=hop)
    found = set()
    for seed in range(12):
        corrupted = build().corrupt(written(board, tokens, seed))
        found.add(tuple(corrupted.views[0].tokens.id.tolist()))
        swapped = not bool(corrupted.targets["label"][0])
        assert corrupted.targets["first"].tolist() == ([2, 3] if swapped else [2])
    assert found == {tuple(ids.tolist()), (Special.CLS, 3, 18, 19, Special.SEP, 17, Special.EOS)}


def test_columns_do_not_tell_the_order(board, written):
    ids = torch.tensor([3, 17, 97, 18, 98])
    kinds = torch.tensor([Kind.NODE, Kind.NODE, Kind.TEXT, Kind.NODE, Kind.TEXT])
    tokens = Tokens.of(
        ids,
        kinds,
        torch.tensor([0, 5]),
        hop=torch.tensor([0, 1, 1, 2, 2]),
        parent=torch.tensor([-1, 0, 1, 1, 3]),
        slot=torch.tensor([0, 1, 1, 2, 2]),
        time=torch.tensor([NO_TIME, 10, 10, 20, 20]),
        word=torch.tensor([0, 1, 1, 2, 2]),
    )
    views = {}
    for seed in range(12):
        corrupted = build().corrupt(written(board, tokens, seed))
        views[bool(corrupted.targets["label"][0])] = corrupted.views[0].tokens
    assert views[False].id.tolist() == [3, 18, 98, 17, 97]
    assert telling(views[True]) == telling(views[False])
    assert (
        telling(views[True])["parent"] == [-1, 0, -1, 0, -1]
        or telling(views[True])["time"] == [NO_TIME] * 5
    )


def test_hand_computed(board, written):
    chosen = build()
    corrupted = chosen.corrupt(written(board, histories([1, 5, 9])))
    first, second = corrupted.targets["first"], corrupted.targets["second"]
    head = seeded(lambda: chosen.head(None, 2), 0).double()
    head.transform = torch.nn.Identity()
    weight = torch.tensor([[1.0, 2, 3, 4, 5, 6, 7, 8]]).double() / 10
    head.out = torch.nn.Linear(8, 1, bias=False)
    head.out.weight.data = weight
    hidden = torch.tensor([[1.0, -2], [3, 1], [2, 2]]).double()

    def loss(rows):
        return chosen.loss([Encoded(corrupted.views[0], rows)], corrupted, None, head)

    a = [sum(hidden[n, d] for n in first) / len(first) for d in range(2)]
    b = [sum(hidden[n, d] for n in second) / len(second) for d in range(2)]
    joint = [*a, *b, a[0] * b[0], a[1] * b[1], abs(a[0] - b[0]), abs(a[1] - b[1])]
    logit = sum(float(w) * float(x) for w, x in zip(weight[0], joint, strict=True))
    sign = 1 if bool(corrupted.targets["label"][0]) else -1
    assert float(loss(hidden).detach()) == pytest.approx(math.log(1 + math.exp(-sign * logit)))
    assert torch.autograd.gradcheck(loss, [hidden.requires_grad_()])


def test_learns_the_order_of_twins(twins, fit):
    past = {"name": "history"}, {"name": "history"}
    found = fit(
        twins, "sentence_order", *past, torch.arange(32), steps=60, structure={"position": 8}
    )
    assert found.losses[0] > 0.8 * math.log(2)
    assert found.last < 0.2 * math.log(2)

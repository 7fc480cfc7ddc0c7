"""Rearranged sequences: permutations of whole events, and columns that tell nothing."""

import math

import pytest
import torch

from graphrec_pt.features.seeded import seeded
from graphrec_pt.kernels.csr import NO_TIME
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
    return Tokens.of(ids, Kind.NODE, ptr, type=ones, hop=ones, time=torch.arange(len(ids)))


def rows_of(tokens):
    return [tokens.select(n).id.tolist() for n in range(len(tokens))]


def telling(tokens):
    """Return the columns that could tell of an order, beside the ids."""
    names = ("position", "hop", "parent", "slot", "time", "labels", "word")
    found = {name: getattr(tokens, name) for name in names}
    return {name: None if value is None else value.tolist() for name, value in found.items()}


def build(**options):
    return objective.build({"name": "rearranged", **options})


def test_half_of_the_sequences_are_permuted(board, written):
    tokens = histories(*[[1, 2, 3, 4, 5]] * 300, [7], [4, 4])
    corrupted = build().corrupt(written(board, tokens))
    seen, label = corrupted.views[0].tokens, corrupted.targets["label"]
    assert corrupted.count == 301
    orders = set()
    for row, moved in zip(rows_of(seen)[:300], label.tolist(), strict=False):
        assert sorted(row) == [17, 18, 19, 20, 21]
        assert (row != [17, 18, 19, 20, 21]) == moved
        orders.add(tuple(row))
    assert not bool(label[300])  # twice the same item has no other order
    assert 110 < int(label.sum()) < 190
    assert len(orders) > 70  # of 120


def test_text_relations_and_roots_keep_their_places(board, written):
    # user, (relation, item, letter) three times, EOS
    ids = torch.tensor([3, *[n for k in range(3) for n in (k, 17 + k, 90 + k)], Special.EOS])
    unit = [Kind.RELATION, Kind.NODE, Kind.TEXT]
    kind = torch.tensor([Kind.NODE, *unit * 3, Kind.SPECIAL])
    tokens = Tokens.of(
        ids,
        kind,
        torch.tensor([0, 11]),
        hop=torch.tensor([0, *[k for k in (1, 2, 3) for _ in range(3)], -1]),
        parent=torch.tensor([-1, 0, 0, 2, 2, 2, 5, 5, 5, 8, -1]),
        slot=torch.arange(11),
        time=torch.arange(11),
        word=torch.tensor([0, -1, 1, 1, -1, 2, 2, -1, 3, 3, -1]),
    )
    columns, orders = [], set()
    for seed in range(30):
        seen = build().corrupt(written(board, tokens, seed)).views[0].tokens
        assert torch.equal(seen.kind, kind)
        assert int(seen.id[0]) == 3
        units = seen.id[1:10].reshape(3, 3)
        assert (units - units[:, :1]).tolist() == [[0, 17, 90]] * 3
        orders.add(tuple(units[:, 0].tolist()))
        columns.append(telling(seen))
    assert len(orders) == 6
    assert all(each == columns[0] for each in columns)  # rearranged or not
    assert columns[0]["word"] == tokens.word.tolist()
    assert set(columns[0]["time"]) == {NO_TIME}


def test_states_of_equal_items_say_nothing(board, written):
    """With every item alike, no column is left that the model could tell the order by."""
    tokens = histories(*[[1, 2, 3, 4]] * 20)
    corrupted = build().corrupt(written(board, tokens))
    structure = {"position": 16, "hop": 4, "parent": 16, "slot": 16, "gap": None}
    model = Model.of(board, backbone=GraphTransformer(width=8, dropout=0.0, structure=structure))
    for parameter in model.features.parameters():
        parameter.data.fill_(0.5)
    pooled = model.encode(corrupted.views[0]).pooled()
    assert corrupted.targets["label"].unique().tolist() == [False, True]
    assert torch.allclose(pooled, pooled[:1].expand_as(pooled), atol=1e-6)


def test_hand_computed(board, written):
    chosen = build()
    corrupted = chosen.corrupt(written(board, histories([1, 5, 9], [2, 3])))
    head = seeded(lambda: chosen.head(None, 2), 0).double()
    head.transform = torch.nn.Identity()
    head.out.weight.data.copy_(torch.tensor([[1.0, -1]]))
    hidden = torch.tensor([[1.0, -2], [3, 1], [2, 2], [0, 1], [1, 1]]).double()

    def loss(rows):
        return chosen.loss([Encoded(corrupted.views[0], rows)], corrupted, None, head)

    expected = 0.0
    for logit, moved in zip([2 - 1 / 3, 0.5 - 1], corrupted.targets["label"].tolist(), strict=True):
        expected += math.log(1 + math.exp(-logit if moved else logit)) / 2
    assert float(loss(hidden).detach()) == pytest.approx(expected)
    assert torch.autograd.gradcheck(loss, [hidden.requires_grad_()])


def test_learns_the_order_of_twins(twins, fit):
    past = {"name": "history"}, {"name": "history"}
    chosen = {"name": "rearranged", "rearranged": 0.9}
    # Half of the drawn orders of two are the old one: .45 of the sequences are rearranged.
    chance = -0.55 * math.log(0.55) - 0.45 * math.log(0.45)
    team = [user for user, team in enumerate(twins.tables["user"]["team"]) if team == "a"]
    many, placed = torch.tensor(team).repeat(8), {"position": 8}
    found = fit(twins, chosen, *past, many, steps=50, batch=128, rate=2e-2, structure=placed)
    assert found.losses[0] > 0.8 * chance
    assert found.last < 0.2 * chance

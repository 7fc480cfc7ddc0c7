"""Replaced tokens: what is put there, what is judged, and the generator's draws."""

import math

import pytest
import torch

from graphrec_pt.features.seeded import seeded
from graphrec_pt.models.model import Model
from graphrec_pt.models.transformer import GraphTransformer
from graphrec_pt.models.view import Encoded, View
from graphrec_pt.objectives.objective import objective
from graphrec_pt.objectives.replaced_token import generated
from graphrec_pt.tokens.kind import Kind, Special
from graphrec_pt.tokens.tokens import Tokens

ITEM = 16  # first item of the board


def histories(*rows):
    ids = torch.tensor([ITEM + n for row in rows for n in row])
    ptr = torch.tensor([0, *(len(row) for row in rows)]).cumsum(0)
    ones = torch.ones_like(ids)
    return Tokens.of(ids, Kind.NODE, ptr, type=ones, hop=ones)


def build(**options):
    return objective.build({"name": "replaced_token", **options})


def test_uniform_replacements(board, written):
    tokens = histories(*[[5] * 10] * 400)
    corrupted = build(share=0.3).corrupt(written(board, tokens))
    seen = corrupted.views[0].tokens
    wrong = seen.id != tokens.id
    assert wrong.reshape(400, 10).sum(1).tolist() == [3] * 400
    assert torch.equal(corrupted.targets["replaced"], wrong)
    assert corrupted.count == 4000
    count = torch.bincount(seen.id[wrong] - ITEM, minlength=16)
    assert count[5] == 0
    assert count[torch.arange(16) != 5].min() > 40  # 80 expected of each
    assert (seen.kind == Kind.NODE).all()


def test_popular_replacements(shop, written):
    ones = torch.ones(6000, dtype=torch.int64)
    tokens = Tokens.of(16 + 3 * ones, Kind.NODE, 2 * torch.arange(3001), type=ones, hop=ones)
    corrupted = build(share=0.5, source="popularity").corrupt(written(shop, tokens))
    seen = corrupted.views[0].tokens
    start, end = shop.csr.bounds(torch.arange(16, 36))
    share = (end - start).double() / (end - start).sum()
    same = seen.id == tokens.id  # replaced by itself counts as true
    assert torch.equal(corrupted.targets["replaced"], ~same)
    found = torch.bincount(seen.id[~same] - 16, minlength=20).double() / 3000
    share[3] = 0.0
    assert torch.allclose(found, share, atol=0.025)
    assert found[19] == 0  # isolated


def test_roots_and_text_are_no_part_of_it(shop, written):
    ids = torch.tensor([2, 16, 97, 17, 98])
    kind = torch.tensor([Kind.NODE, Kind.NODE, Kind.TEXT, Kind.NODE, Kind.TEXT])
    tokens = Tokens.of(
        ids,
        kind,
        torch.tensor([0, 5]),
        type=torch.tensor([0, 1, -1, 1, -1]),
        hop=torch.tensor([0, 1, 1, 1, 1]),
        word=torch.tensor([0, 1, 1, 2, 2]),
    )
    corrupted = build(share=0.5).corrupt(written(shop, tokens))
    assert corrupted.targets["judged"].tolist() == [1, 2]
    assert int(corrupted.views[0].tokens.id[0]) == 2
    assert len(corrupted.views[0].tokens.id) == 3


def test_hand_computed(board, written):
    chosen = build(share=0.5)
    corrupted = chosen.corrupt(written(board, histories([1, 5])))
    head = seeded(lambda: chosen.head(None, 2), 0).double()
    head["judge"].transform = torch.nn.Identity()
    head["judge"].out.weight.data.copy_(torch.tensor([[2.0, -1]]))
    hidden = torch.tensor([[1.0, -2], [3, 1]]).double()

    def loss(rows):
        return chosen.loss([Encoded(corrupted.views[0], rows)], corrupted, None, head)

    expected = 0.0
    for logit, replaced in zip([4.0, 5.0], corrupted.targets["replaced"].tolist(), strict=True):
        chance = 1 / (1 + math.exp(-logit))
        expected -= math.log(chance if replaced else 1 - chance) / 2
    assert sorted(corrupted.targets["replaced"].tolist()) == [False, True]
    assert float(loss(hidden).detach()) == pytest.approx(expected, abs=1e-9)
    assert torch.autograd.gradcheck(loss, [hidden.requires_grad_()])


def test_both_parts_of_the_generator(board, written):
    chosen = build(share=0.5, source="model", generator=3.0, candidates={"transform": False})
    shape = GraphTransformer(width=8, layers=1, heads=2, dropout=0.0)
    model = Model.of(board, backbone=shape).double()
    head = seeded(lambda: chosen.head(model.spec, 8), 0).double()
    corrupted = chosen.corrupt(written(board, histories([1, 5], [2, 7, 3, 4])))
    at, view = corrupted.targets, corrupted.views[0]
    assert (view.tokens.id[at["token"]] == Special.MASK).all()
    shown = model.encode(view)
    loss = chosen.loss([shown], corrupted, model, head)
    table, rows = model.table("item"), shown.hidden[at["token"]]
    filled, told = histories([1, 5], [2, 7, 3, 4]).id, 0.0
    for token, node, bits, row in zip(at["token"], at["node"], at["bits"], rows, strict=True):
        chances = (table @ row).softmax(0).tolist()
        told -= math.log(chances[int(node) - ITEM])
        mark, total, made = int(bits) / 2**32, 0.0, 0
        while total + chances[made] <= mark:
            total += chances[made]
            made += 1
        filled[token] = ITEM + made
    truth = histories([1, 5], [2, 7, 3, 4])
    again = Tokens.of(filled, Kind.NODE, truth.ptr, type=truth.type, hop=truth.hop)
    logits = head["judge"](model.encode(View(again)).hidden).squeeze(1)
    judged = 0.0
    for logit, wrong in zip(logits.tolist(), (filled != truth.id).tolist(), strict=True):
        judged += math.log(1 + math.exp(-logit if wrong else logit)) / 6
    assert float(loss.detach()) == pytest.approx(judged + 3.0 * told / (0.5 * 6), abs=1e-9)


def test_generated_nodes_follow_the_scores(board):
    model = Model.of(board, backbone=GraphTransformer(width=2, heads=1)).double()
    head = objective.build("next_item").candidates.head(2).double()
    head.transform = None
    hidden = torch.tensor([[40.0, -25]]).double().expand(20000, 2)
    bits = torch.arange(20000) * (2**32 // 20000)
    made = generated(hidden, torch.ones(20000, dtype=torch.int64), bits, model, head)
    share = torch.bincount(made - ITEM, minlength=16).double() / 20000
    assert torch.allclose(share, (model.table("item") @ hidden[0]).softmax(0).detach(), atol=1e-3)


@pytest.mark.parametrize("source", ["uniform", "model"])
def test_learns_to_tell(twins, fit, source):
    past = {"name": "history"}, {"name": "history"}
    chosen = {"name": "replaced_token", "share": 0.5, "source": source}
    # Team a has half of the items: one of the other half gives a replacement away.
    team = [user for user, team in enumerate(twins.tables["user"]["team"]) if team == "a"]
    found = fit(twins, chosen, *past, torch.tensor(team), steps=80)
    chance = math.log(2) + (math.log(16) if source == "model" else 0)
    assert found.losses[0] > 0.8 * chance
    assert found.last < 0.75 * chance

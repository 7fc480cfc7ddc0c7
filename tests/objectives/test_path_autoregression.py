"""Path autoregression: hand-computed heads, causality, and a graph that is one cycle."""

import math

import pytest
import torch

from graphrec_pt.features.seeded import seeded
from graphrec_pt.models.model import Model
from graphrec_pt.models.transformer import GraphTransformer
from graphrec_pt.models.view import Encoded, View
from graphrec_pt.objectives.objective import objective
from graphrec_pt.tokens.kind import Kind, Special
from graphrec_pt.tokens.tokens import Tokens

USER, ITEM = 0, 16
PATH = [Special.BOS, 2, 0, ITEM + 4, 1, 3, Special.EOS]  # user 2 -rates- item 4 -rated_by- user 3


def path():
    kind = torch.tensor([Kind.SPECIAL, *[Kind.NODE, Kind.RELATION] * 2, Kind.NODE, Kind.SPECIAL])
    types = torch.tensor([-1, 0, -1, 1, -1, 0, -1])
    return Tokens.of(torch.tensor(PATH), kind, torch.tensor([0, 7]), type=types)


def build(**options):
    return objective.build({"name": "path_autoregression", **options})


def nll(scores, target):
    return math.log(sum(math.exp(float(s)) for s in scores)) - float(scores[target])


@pytest.mark.parametrize(
    "options", [{}, {"among": "all"}, {"joint": True}, {"relation": 0.25}], ids=str
)
def test_hand_computed(shop, written, options):
    model = Model.of(shop, backbone=GraphTransformer(width=2, heads=1, layers=1)).double()
    chosen = build(**options)
    corrupted = chosen.corrupt(written(shop, path()))
    assert corrupted.targets["token"].tolist() == [0, 2, 4]
    assert corrupted.targets["before"].tolist() == [1, 3]
    assert corrupted.count == 5  # EOS is not predicted
    head = chosen.head(model.spec, 2).double()
    for each in head.values():
        each.transform = None
    rows = torch.tensor([[1.0, -2], [3, 1], [2, 2], [0, 5], [1, 1], [7, 7], [8, 8]]).double() * 10

    def loss(hidden):
        return chosen.loss([Encoded(corrupted.views[0], hidden)], corrupted, model, head)

    table = {name: model.table(name).detach() for name in shop.schema.node_names}
    every, relations = torch.cat(list(table.values())), model.embedding.relation.weight.detach()
    expected = 0.0
    for place, node in ((0, 2), (2, ITEM + 4), (4, 3)):
        if options.get("joint"):
            expected += nll(torch.cat([every, relations]) @ rows[place], node)
        elif options.get("among") == "all":
            expected += nll(every @ rows[place], node)
        else:
            name, first = ("item", ITEM) if node >= ITEM else ("user", USER)
            expected += nll(table[name] @ rows[place], node - first)
    for place, relation in ((1, 0), (3, 1)):
        if options.get("joint"):
            expected += nll(torch.cat([every, relations]) @ rows[place], len(every) + relation)
        else:
            expected += options.get("relation", 1.0) * nll(relations @ rows[place], relation)
    assert float(loss(rows).detach()) == pytest.approx(expected / 5, abs=1e-9)
    head = seeded(lambda: chosen.head(model.spec, 2), 0).double()
    assert torch.autograd.gradcheck(loss, [rows.requires_grad_()])


def test_later_steps_change_no_earlier_state(shop, written):
    shape = GraphTransformer(width=8, dropout=0.0, structure={"position": 16, "type": None})
    model, tokens = Model.of(shop, backbone=shape), path()
    view = build().corrupt(written(shop, tokens)).views[0]
    other = Tokens.of(
        tokens.id.index_copy(0, torch.tensor([3, 4, 5]), torch.tensor([ITEM + 9, 3, 11])),
        tokens.kind,
        tokens.ptr,
        type=tokens.type,
    )
    before, after = model.encode(view).hidden, model.encode(View(other, view.mode)).hidden
    assert torch.allclose(before[:3], after[:3], atol=1e-6)
    assert not torch.allclose(before[3:6], after[3:6], atol=1e-3)


@pytest.mark.parametrize("joint", [False, True])
def test_learns_paths(twins, fit, joint):
    # user -buys- item: the relation is certain, an item is one of the two of its user.
    chosen = {"name": "path_autoregression", "joint": joint}
    walk, path = {"name": "random_walk", "hops": 1}, {"name": "path", "bos": False, "eos": False}
    team = [user for user, team in enumerate(twins.tables["user"]["team"]) if team == "a"]
    placed = {"position": 8}
    found = fit(twins, chosen, walk, path, torch.tensor(team), steps=100, structure=placed)
    chance = math.log(50) if joint else (math.log(2) + math.log(16)) / 2
    blind = math.log(8) / 2  # who knows the items of the team, but not the user
    assert found.losses[0] > 0.8 * chance
    assert found.last < (1.2 if joint else 0.8) * blind
    assert found.last > 0.8 * math.log(2) / 2

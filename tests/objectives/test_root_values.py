"""Categories and numbers of roots."""

import math

import pytest
import torch

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.features.seeded import seeded
from graphrec_pt.graph.spec import GraphSpec
from graphrec_pt.models.view import Encoded, View
from graphrec_pt.objectives.objective import objective
from graphrec_pt.tokens.kind import Kind, Special
from graphrec_pt.tokens.tokens import Tokens


def build(**options):
    return objective.build({"name": "classify", "node_type": "item", "column": "genre", **options})


def test_labels_are_the_codes_of_the_column(shop, making):
    preparation = making.prepared(
        shop, {"name": "k_hop", "fanout": [3]}, "subgraph", torch.arange(16, 36)
    )
    examples = making.examples(preparation, range(20))
    corrupted = build().corrupt(examples)
    genres = shop.tables["item"]["genre"]
    wanted = [["crime", "drama", "jazz"].index(g) for g in genres.to_list() if g is not None]
    assert corrupted.targets["category"].tolist() == wanted
    assert corrupted.count == 19  # the first item has none
    seen = corrupted.views[0].tokens
    assert (seen.kind[seen.ptr[:-1]] == Kind.SPECIAL).all()
    assert (seen.id[seen.ptr[:-1]] == Special.MASK).all()
    nodes, row = seen.nodes()
    assert not (nodes == 17 + row).any()
    open_ = build(hide=False).corrupt(examples).views[0].tokens
    assert open_.id[open_.ptr[:-1]].tolist() == list(range(17, 36))


def test_of_a_pair_it_is_the_one_of_the_type(shop, making):
    pairs = torch.tensor([[2, 17], [3, 18]])
    up = [["rates", "rated_by", "rates"]]
    preparation = making.prepared(
        shop, {"name": "path_subgraph", "metapaths": up}, "subgraph", pairs
    )
    corrupted = build().corrupt(making.examples(preparation, [0, 1]))
    codes = shop.tables["item"]["genre"].to_physical()
    assert corrupted.targets["category"].tolist() == [codes[1], codes[2]]


@pytest.mark.parametrize(
    ("link", "smoothing"), [("softmax", 0.0), ("softmax", 0.3), ("sigmoid", 0.0)]
)
def test_hand_computed(shop, written, link, smoothing):
    chosen = build(link=link, smoothing=smoothing)
    tokens = Tokens.of(torch.tensor([17, 1, 2]), Kind.NODE, torch.tensor([0, 3]))
    examples = written(shop, tokens)
    object.__setattr__(examples, "roots", torch.tensor([17]))
    corrupted = chosen.corrupt(examples)
    (true,) = corrupted.targets["category"].tolist()
    head = seeded(lambda: chosen.head(GraphSpec.of(shop), 2), 0).double()
    head.transform = torch.nn.Identity()
    head.out.weight.data.copy_(torch.tensor([[1.0, 0], [0, 1], [1, 1]]))
    hidden = torch.tensor([[1.0, -2], [3, 1], [2, 4]]).double()

    def loss(rows):
        return chosen.loss([Encoded(corrupted.views[0], rows)], corrupted, None, head)

    logits = [2.0, 1.0, 3.0]
    if link == "softmax":
        total = math.log(sum(math.exp(x) for x in logits))
        share = [smoothing / 3 + (1 - smoothing) * (n == true) for n in range(3)]
        expected = sum(p * (total - x) for p, x in zip(share, logits, strict=True))
    else:
        expected = (
            sum(math.log(1 + math.exp(-x if n == true else x)) for n, x in enumerate(logits)) / 3
        )
    assert float(loss(hidden).detach()) == pytest.approx(expected)
    assert torch.autograd.gradcheck(loss, [hidden.requires_grad_()])


def test_wrong_columns(shop):
    for column, told in (("genr", "did you mean 'genre'"), ("year", "'year' of kind number")):
        with pytest.raises(GraphRecError, match=told):
            build(column=column).check(GraphSpec.of(shop))


def test_learns_the_team(twins, fit):
    past = {"name": "history"}, {"name": "history"}
    chosen = {"name": "classify", "node_type": "user", "column": "team"}
    found = fit(twins, chosen, *past, torch.arange(32), steps=50)
    assert found.losses[0] > 0.8 * math.log(2)
    assert found.last < 0.1 * math.log(2)


AGE = {"node_type": "user", "column": "age"}


def regress(**options):
    return objective.build({"name": "regress", **options})


def bought(twins):
    """Return the (user, item) pairs of a graph with their edges and stars."""
    edges = twins.edges("buys")
    return torch.stack([edges.source, edges.target], dim=1), edges.edge, edges.weight


def test_numbers_of_the_root(twins, making):
    preparation = making.prepared(
        twins, {"name": "history"}, {"name": "history", "root": True}, torch.arange(32)
    )
    corrupted = regress(**AGE, mean=30, scale=10).corrupt(making.examples(preparation, range(32)))
    ages = [(age - 30) / 10 for age in twins.tables["user"]["age"].to_list()]
    assert corrupted.targets["number"].tolist() == pytest.approx(ages)
    assert (corrupted.views[0].tokens.kind[::3] == Kind.SPECIAL).all()  # the user is hidden


def test_weights_of_the_excluded_edges(twins, making):
    pairs, edge, weight = bought(twins)
    exclude = edge.where(torch.arange(len(edge)) != 5, -1).long()
    sampler = {"name": "path_subgraph", "metapaths": [["buys", "bought_by", "buys"]]}
    preparation = making.prepared(twins, sampler, "subgraph", pairs, exclude)
    corrupted = regress().corrupt(making.examples(preparation, range(len(pairs))))
    kept = torch.arange(len(pairs)) != 5  # nothing was excluded for it
    assert torch.equal(corrupted.targets["number"], weight[kept])
    assert set(weight.tolist()) == {1.0, 5.0}
    seen = corrupted.views[0].tokens
    assert torch.equal(seen.id[seen.ptr[:-1]], pairs[kept, 0])  # users stay


def test_hand_computed_of_regress(twins, written):
    chosen = regress(**AGE)
    tokens = Tokens.of(torch.tensor([40, 41, 42]), Kind.NODE, torch.tensor([0, 2, 3]))
    corrupted = chosen.corrupt(written(twins, tokens))
    head = seeded(lambda: chosen.head(None, 2), 0).double()
    head.transform = torch.nn.Identity()
    head.out.weight.data.copy_(torch.tensor([[2.0, 1]]))
    hidden = torch.tensor([[1.0, -2], [3, 1], [2, 4]]).double()

    def loss(rows):
        return chosen.loss([Encoded(corrupted.views[0], rows)], corrupted, None, head)

    ages = twins.tables["user"]["age"].to_list()
    expected = ((3.5 - ages[0]) ** 2 + (8 - ages[1]) ** 2) / 2
    assert float(loss(hidden).detach()) == pytest.approx(expected)
    assert torch.autograd.gradcheck(loss, [hidden.requires_grad_()])


def values(chosen, encoded, pairs, head):
    """Return what the readout makes of pairs."""
    readout = chosen.readout()
    return readout.value(readout.scores(encoded, pairs, None, head))


def test_whether_a_weight_is_high(twins, making):
    """Second items are rated 5, first ones 1; the loss is that of labels, by hand."""
    pairs, edge, weight = bought(twins)
    sampler = {"name": "path_subgraph", "metapaths": [["buys", "bought_by", "buys"]]}
    preparation = making.prepared(twins, sampler, "subgraph", pairs, edge.long())
    chosen = regress(above=3, read="roots")
    corrupted = chosen.corrupt(making.examples(preparation, range(len(pairs))))
    label = corrupted.targets["number"]
    assert label.tolist() == [float(stars > 3) for stars in weight.tolist()]
    tokens = corrupted.views[0].tokens
    hidden = torch.randn(len(tokens.id), 2, generator=torch.Generator().manual_seed(0)).double()
    head = seeded(lambda: chosen.head(None, 2), 0).double()
    encoded = Encoded(corrupted.views[0], hidden)
    with torch.no_grad():
        found = chosen.loss([encoded], corrupted, None, head)
        chance = values(chosen, encoded, pairs, head)
        user, item = hidden[tokens.ptr[:-1]], hidden[tokens.ptr[:-1] + 1]  # the two roots
        mean = torch.stack([hidden[a:b].mean(0) for a, b in tokens.ptr.unfold(0, 2, 1).tolist()])
        joint = torch.cat([user, item, user * item, mean], dim=1)
        logit = head.score(head.mix(joint)).squeeze(1)
    assert torch.allclose(chance, logit.sigmoid())
    wanted = -torch.where(label > 0, chance.log(), (1 - chance).log()).mean()
    assert float(found) == pytest.approx(float(wanted))


def test_values_are_in_the_unit_of_the_weights(twins, written):
    chosen = regress(mean=3, scale=2)
    assert chosen.readout().rates == "number"
    assert regress(above=1).readout().rates == "chance"
    assert regress(**AGE).readout() is None
    tokens = Tokens.of(torch.tensor([40, 41, 42]), Kind.NODE, torch.tensor([0, 2, 3]))
    assert chosen.readout().shown is None
    head = seeded(lambda: chosen.head(None, 2), 0).double()
    head.transform = torch.nn.Identity()
    head.out.weight.data.copy_(torch.tensor([[2.0, 1]]))
    hidden = torch.tensor([[1.0, -2], [3, 1], [2, 4]]).double()
    found = values(chosen, Encoded(View(tokens), hidden), torch.zeros(2, 2), head)
    assert found.tolist() == [3.5 * 2 + 3, 8 * 2 + 3]


def test_wrong_use(twins, board, making):
    with pytest.raises(GraphRecError, match="a node type and a column, or neither"):
        regress(column="age")
    with pytest.raises(GraphRecError, match="a weighted relation, got none"):
        regress().check(GraphSpec.of(board))
    regress().check(GraphSpec.of(twins))
    preparation = making.prepared(twins, {"name": "history"}, {"name": "history"}, torch.arange(32))
    with pytest.raises(GraphRecError, match="an edge excluded for each root"):
        regress().corrupt(making.examples(preparation, [0]))


def test_learns_the_age(twins, fit):
    past = {"name": "history"}, {"name": "history"}
    chosen = {"name": "regress", **AGE, "mean": 35, "scale": 22.9}  # variance 1
    found = fit(twins, chosen, *past, torch.arange(32), steps=60)
    assert found.losses[0] > 0.8
    assert found.last < 0.1

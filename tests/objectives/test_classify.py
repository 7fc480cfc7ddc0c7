"""Classification of roots: labels, hidden roots, and links applied once."""

import math

import pytest
import torch

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.features.seeded import seeded
from graphrec_pt.graph.outline import Outline
from graphrec_pt.models.view import Encoded
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
    head = seeded(lambda: chosen.head(Outline.of(shop), 2), 0).double()
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
            build(column=column).check(Outline.of(shop))


def test_learns_the_team(twins, fit):
    past = {"name": "history"}, {"name": "history"}
    chosen = {"name": "classify", "node_type": "user", "column": "team"}
    found = fit(twins, chosen, *past, torch.arange(32), steps=50)
    assert found.losses[0] > 0.8 * math.log(2)
    assert found.last < 0.1 * math.log(2)

"""Links: the losses by hand, and negatives that are made as positives are."""

from math import exp, log
from typing import Any

import pytest
import torch

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.graph.spec import GraphSpec
from graphrec_pt.graph.split import keep_edges
from graphrec_pt.models.heads import LinkHead
from graphrec_pt.objectives.objective import TrainingExamples, objective
from graphrec_pt.tokens.tokens import same

UP = [
    ["rates", "rated_by", "rates"],
    ["rates", "made_by", "makes"],
    ["views", "viewed_by", "rates"],
]
PAIRS = {"name": "path_subgraph", "metapaths": UP, "edges": True, "top": 50, "cap": 50}


def link(**options: Any) -> Any:
    return objective.build({"name": "link", **options})


class Sum(torch.nn.Module):
    """Scores a pair by the first number of the user plus the second of the item."""

    def forward(self, encoded: Any, roots: torch.Tensor) -> torch.Tensor:
        return encoded.hidden[roots[:, 0], 0] + encoded.hidden[roots[:, 1], 1]


@pytest.mark.parametrize("form", ["bpr", "bce", "softmax"])
def test_the_loss_by_hand(hand: Any, form: str) -> None:
    chosen = link(form=form, negatives=2)
    true = [[1.0, 9.0], [9.0, 0.5], [-1.0, 9.0], [9.0, 0.0]]  # scores 1.5 and −1
    false = [[0.2, 9.0], [9.0, 0.3], [2.0, 9.0], [9.0, -1.0]] * 2  # scores .5, 1, .5 and 1
    pairs = torch.arange(8).view(4, 2)
    targets = {"positive.roots": pairs[:2], "negative.roots": pairs}
    encoded = [hand.encoded(true, [0, 2, 4]), hand.encoded(false, [0, 2, 4, 6, 8])]
    loss = chosen.loss(encoded, TrainingExamples((), targets, 2), None, Sum())
    expected = 0.0
    for right in (1.5, -1.0):
        if form == "bpr":
            expected += sum(log(1 + exp(wrong - right)) for wrong in (0.5, 1.0)) / 2
        elif form == "bce":
            expected += (log(1 + exp(-right)) + sum(log(1 + exp(w)) for w in (0.5, 1.0))) / 3
        else:
            expected += log(exp(right) + exp(0.5) + exp(1.0)) - right
    assert loss.item() == pytest.approx(expected / 2)


def test_the_head_reads_both_roots_their_product_and_the_mean(hand: Any) -> None:
    head = LinkHead(2).double()
    joint: list[torch.Tensor] = []
    head.mix.register_forward_pre_hook(lambda module, given: joint.append(given[0]))
    head(hand.encoded([[1.0, 2.0], [3.0, -1.0], [2.0, 5.0]]), torch.tensor([[0, 1]]))
    assert joint[0].tolist() == [[1, 2, 3, -1, 3, -2, 2, 2]]


@pytest.fixture
def rated(making: Any, shop: Any) -> Any:
    """All rated pairs, each with its own edge excluded."""
    edges = shop.edges("rates")
    pairs = torch.stack([edges.source, edges.target], dim=1)
    return making.prepared(shop, PAIRS, "subgraph", pairs, exclude=edges.edge.long())


@pytest.fixture
def examples(rated: Any, making: Any) -> Any:
    return making.examples(rated, torch.arange(len(rated.roots)))


def test_gradients(hand: Any, making: Any, rated: Any) -> None:
    some = making.examples(rated, torch.arange(4))
    for form in ("bpr", "bce", "softmax"):
        assert hand.gradients_hold({"name": "link", "form": form, "negatives": 2}, some)


def test_negatives_are_items_without_an_edge(examples: Any, shop: Any) -> None:
    corrupted = link(negatives=3).corrupt(examples)
    true, false = (view.tokens for view in corrupted.views)
    pairs = [
        view.id[corrupted.targets[f"{side}.roots"]]
        for view, side in ((true, "positive"), (false, "negative"))
    ]
    assert torch.equal(pairs[0], examples.roots)
    assert torch.equal(pairs[1][:, 0], examples.roots[:, 0].repeat_interleave(3))
    for user, item in pairs[1].tolist():
        assert shop.type_of(item) == "item"
        assert item not in shop.neighbors(user, "rates").tolist()


def test_no_view_holds_an_edge_between_the_roots(examples: Any, shop: Any) -> None:
    """Neither the pair's own edge nor another one, as by viewing, in any direction or slot."""
    corrupted = link(negatives=2).corrupt(examples)
    viewed = 0
    for view, side in zip(corrupted.views, ("positive", "negative"), strict=True):
        tokens = view.tokens
        roots = tokens.id[corrupted.targets[f"{side}.roots"]].tolist()
        for row, (user, item) in enumerate(roots):
            viewed += item in shop.neighbors(user, "views").tolist()
            mine = tokens.select(row)
            ids = mine.id.tolist()
            ends = [{s, t} for s, _, t in mine.triples().tolist()]
            ends += [{ids[a], ids[b]} for a, _, b in mine.edges.tolist()]
            assert {user, item} not in ends
    assert viewed  # the world can show the trap


def test_both_sides_go_through_one_procedure(examples: Any, making: Any, shop: Any) -> None:
    """Asked for as pairs of their own, negatives get the very tokens that positives would."""
    corrupted = link(negatives=2).corrupt(examples)
    for view, side in zip(corrupted.views, ("positive", "negative"), strict=True):
        pairs = view.tokens.id[corrupted.targets[f"{side}.roots"]]
        exclude = examples.exclude if side == "positive" else torch.full_like(pairs[:, 0], -1)
        alone = making.prepared(shop, PAIRS, "subgraph", pairs, exclude=exclude)
        again = link().corrupt(making.examples(alone, torch.arange(len(pairs))))
        assert same(view.tokens, again.views[0].tokens)


def test_a_positive_looks_as_if_its_edge_had_never_been(
    examples: Any, making: Any, shop: Any
) -> None:
    """So the number of paths says nothing but how the two are connected otherwise."""
    tokens = link().corrupt(examples).views[0].tokens
    for row in range(0, len(examples.roots), 9):
        stays = torch.ones(shop.num_edge_ids, dtype=torch.bool)
        stays[examples.exclude[row]] = False
        smaller = keep_edges(shop, stays)
        alone = making.prepared(smaller, PAIRS, "subgraph", examples.roots[row : row + 1])
        expected = making.examples(alone, [0]).tokens
        mine = tokens.select(row)
        names = [
            sorted(zip(each.id.tolist(), each.slot.tolist(), strict=True))
            for each in (mine, expected)
        ]
        assert names[0] == names[1]


def test_what_it_cannot_do_is_refused(making: Any, whole: Any, shop: Any) -> None:
    with pytest.raises(GraphRecError, match="pairs of roots"):
        link().corrupt(whole({"name": "k_hop", "fanout": [2]}))
    with pytest.raises(GraphRecError, match="did you mean 'rates'"):
        link(relation="rate").check(GraphSpec.of(shop))


@pytest.mark.parametrize("form", ["bpr", "bce", "softmax"])
def test_it_learns_who_wants_what(fit: Any, colors: Any, form: str) -> None:
    edges = colors.edges("rates")
    pairs = torch.stack([edges.source, edges.target], dim=1)
    sampler = {"name": "path_subgraph", "metapaths": [UP[0], UP[2]]}
    config = {"name": "link", "form": form}
    options = {"exclude": edges.edge.long(), "steps": 60, "rate": 5e-3}
    found = fit(colors, config, sampler, "subgraph", pairs, **options)
    assert found.losses[0] == pytest.approx(log(2), rel=0.1)
    assert found.last < 0.3 * log(2)

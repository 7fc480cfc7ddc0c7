"""Masked features: each column's loss by hand, and whose values are asked for."""

from math import exp, log
from statistics import fmean, pstdev
from typing import Any

import pytest
import torch

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.graph.spec import GraphSpec
from graphrec_pt.objectives.objective import TrainingExamples, objective
from graphrec_pt.tokens.kind import Kind

HOPS = {"name": "k_hop", "fanout": [5, 3], "distinct": False}


def masked(**options: Any) -> Any:
    return objective.build({"name": "masked_feature", **options})


class Given(torch.nn.ModuleDict):
    """Heads that read the first numbers off a state."""

    def __init__(self, **sizes: int) -> None:
        super().__init__({name: First(size) for name, size in sizes.items()})


class First(torch.nn.Module):
    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        return hidden[:, : self.size]


def test_the_loss_by_hand(hand: Any, shop: Any) -> None:
    chosen = masked(columns={"item": ["look", "genre"], "user": ["age"]})
    hidden = [[1.0, 2.0, 3.0], [0.5, -1.0, 0.0], [2.0, 0.0, 1.0]]
    targets = {
        "token.item.look": torch.tensor([0]),
        "value.item.look": torch.tensor([[0.0, 4.0]]),
        "token.item.genre": torch.tensor([0, 1]),
        "value.item.genre": torch.tensor([2, 0]),
        "token.user.age": torch.tensor([2]),
        "value.user.age": torch.tensor([[-1.0]]),
    }
    model = hand.model(shop, {"item": torch.zeros(20, 3)})
    head = Given(of_item_look=2, of_item_genre=3, of_user_age=1)
    loss = chosen.loss([hand.encoded(hidden)], TrainingExamples((), targets, 4), model, head)
    vector = ((1 - 0) ** 2 + (2 - 4) ** 2) / 2
    category = 0.0
    for state, code in ((hidden[0], 2), (hidden[1], 0)):
        category -= state[code] - log(sum(exp(s) for s in state))
    number = (2.0 - -1.0) ** 2
    assert loss.item() == pytest.approx((vector + category + number) / 4)


def test_gradients(hand: Any, whole: Any) -> None:
    assert hand.gradients_hold({"name": "masked_feature"}, whole(HOPS))


def test_values_are_those_of_the_columns(whole: Any, shop: Any) -> None:
    examples = whole(HOPS)
    corrupted = masked(masking={"share": 0.5}).corrupt(examples)
    items = shop.tables["item"]
    years = [year for year in items["year"].to_list() if year is not None]
    count = 0
    for column in ("look", "year", "genre"):
        token = corrupted.targets[f"token.item.{column}"]
        value = corrupted.targets[f"value.item.{column}"]
        count += len(token)
        known = items[column].to_list()
        for node, found in zip(examples.tokens.id[token].tolist(), value, strict=True):
            expected = known[node - 16]
            assert expected is not None
            if column == "genre":
                assert items["genre"].dtype.categories[int(found)] == expected
            elif column == "year":
                scaled = (expected - fmean(years)) / pstdev(years)
                assert found.tolist() == pytest.approx([scaled], abs=1e-5)
            else:
                assert found.tolist() == pytest.approx(expected)
    users = [name for name in corrupted.targets if name.startswith("token.user.")]
    assert corrupted.count == count + sum(len(corrupted.targets[name]) for name in users)


def test_a_node_without_a_value_is_no_term(making: Any, shop: Any) -> None:
    """Item 16 has a look and neither year nor genre."""
    roots = torch.tensor([16])
    preparation = making.prepared(shop, {"name": "k_hop", "fanout": [1]}, "subgraph", roots)
    examples = making.examples(preparation, [0])
    chosen = masked(columns={"item": ["look", "year", "genre"]}, roots=True, masking={"share": 1})
    corrupted = chosen.corrupt(examples)
    assert corrupted.targets["token.item.look"].tolist() == [0]
    assert corrupted.targets["token.item.year"].tolist() == []
    assert corrupted.targets["token.item.genre"].tolist() == []
    assert corrupted.count == 1


def test_the_node_itself_is_out_of_sight(whole: Any) -> None:
    metapaths = [["rates", "rated_by", "rates"], ["views", "viewed_by", "rates"]]
    sampler = {"name": "path_subgraph", "metapaths": metapaths}
    examples = whole(sampler, pairs=True)
    corrupted = masked(columns={"item": ["look"]}, masking={"share": 0.5}).corrupt(examples)
    tokens, seen = examples.tokens, corrupted.views[0].tokens
    at = corrupted.targets["token.item.look"]
    name = (tokens.sequence_of() << 32) | tokens.id
    left = name[seen.kind == Kind.NODE]
    assert not torch.isin(name[at], left).any()
    assert (tokens.hop[at] > 0).all()


def test_columns_that_cannot_be_predicted(shop: Any, board: Any) -> None:
    spec = GraphSpec.of(shop)
    masked().check(spec)
    with pytest.raises(GraphRecError, match="did you mean 'genre'"):
        masked(columns={"item": ["gender"]}).check(spec)
    with pytest.raises(GraphRecError, match="'title' of kind text"):
        masked(columns={"item": ["title"]}).check(spec)
    with pytest.raises(GraphRecError, match="did you mean 'item'"):
        masked(columns={"items": ["genre"]}).check(spec)
    with pytest.raises(GraphRecError, match="a number or vector or category column, got none"):
        masked().check(GraphSpec.of(board))


def test_it_learns_the_planted_columns(fit: Any, colors: Any) -> None:
    """Of a user who rates one colour, all hidden items have its columns; without it, a coin."""
    chance = (log(2) + 1 + 0.5) / 3  # genre, year, and look of which one number of two varies
    config = {"name": "masked_feature", "masking": {"share": 0.3}}
    losses = {}
    for relation in ("rates", "both"):
        relations = ["rates"] if relation == "rates" else ["rates", "views"]
        sampler = {"name": "k_hop", "fanout": [3], "relations": relations}
        structure = {"hop": 4}
        losses[relation] = fit(
            colors, config, sampler, "subgraph", torch.arange(16), structure=structure
        ).last
    assert losses["rates"] < 0.2 * chance
    assert losses["both"] > 0.6 * chance

"""Masked modalities: vectors of hidden nodes."""

from collections.abc import Callable
from math import exp, log
from typing import Any

import pytest
import torch

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.graph.graph import Graph
from graphrec_pt.graph.outline import Outline
from graphrec_pt.objectives.objective import objective
from graphrec_pt.tokens.kind import Kind, Special

CONFIG = {"name": "masked_modality", "node_type": "item"}
PAST, EVENTS = {"name": "history"}, {"name": "history"}


class Straight(torch.nn.Module):
    """Takes hidden states for predictions."""

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        return hidden


def test_by_hand(toy: Graph, making: Any, hand: Any) -> None:
    preparation = making.prepared(toy, PAST, EVENTS, torch.tensor([0]))
    examples = making.examples(preparation, [0])
    states = hand.encoded([[1, 0.5], [0, 1]])  # items 2 and 3, which look like (1, 0) and (0, 2)
    losses = {}
    for form in ("mse", "kl", "info_nce"):
        chosen: Any = objective.build(
            {**CONFIG, "form": form, "masking": {"share": 1.0}, "temperature": 0.5}
        )
        corrupted = chosen.corrupt(examples)
        assert corrupted.targets["token"].tolist() == [0, 1]
        assert corrupted.targets["vector"].tolist() == [[1, 0], [0, 2]]
        losses[form] = chosen.loss([states], corrupted, None, Straight()).item()
    assert losses["mse"] == pytest.approx((0.25 / 2 + 1 / 2) / 2)
    # −log softmax of (1, .5) at 0; 2 · (log 2 − log softmax of (0, 1) at 1).
    expected = log(1 + exp(-0.5)) + 2 * (log(2) + log(1 + exp(-1)))
    assert losses["kl"] == pytest.approx(expected / 2)
    long, short = (1 / 1.25**0.5) / 0.5, (0.5 / 1.25**0.5) / 0.5
    expected = (log(1 + exp(short - long)) + log(1 + exp(0 - 2))) / 2
    assert losses["info_nce"] == pytest.approx(expected)


def test_the_text_of_a_hidden_node_stays(shop: Graph, making: Any, letters: Any) -> None:
    text = {"name": "text", "tokenizer": letters, "base": EVENTS}
    users = torch.arange(15)
    examples = making.examples(making.prepared(shop, PAST, text, users), users)
    corrupted: Any = objective.build(CONFIG).corrupt(examples)
    seen = corrupted.views[0].tokens
    assert set(seen.kind[corrupted.targets["token"]].tolist()) == {Kind.SPECIAL}
    assert set(seen.id[corrupted.targets["token"]].tolist()) == {int(Special.MASK)}
    text_of = examples.tokens.kind == Kind.TEXT
    assert torch.equal(seen.id[text_of], examples.tokens.id[text_of])
    assert torch.equal(seen.word, examples.tokens.word)
    looks = torch.tensor(shop.tables["item"]["look"].to_list())
    local = corrupted.targets["node"] - 16
    assert torch.allclose(corrupted.targets["vector"], looks[local])


def test_a_type_without_vectors_is_refused(toy: Graph) -> None:
    with pytest.raises(GraphRecError, match="vector column on 'brand'"):
        objective.build({**CONFIG, "node_type": "brand"}).check(Outline.of(toy))
    with pytest.raises(GraphRecError, match="did you mean 'look'"):
        objective.build({**CONFIG, "column": "lok"}).check(Outline.of(toy))


@pytest.mark.parametrize("form", ["mse", "kl", "info_nce"])
def test_gradients(toy: Graph, making: Any, hand: Any, form: str) -> None:
    examples = making.examples(making.prepared(toy, PAST, EVENTS, torch.tensor([0, 1])), [0, 1])
    config = {**CONFIG, "form": form, "masking": {"share": 0.5}, "temperature": 0.5}
    assert hand.gradients_hold(config, examples)


def test_learns_where_the_context_tells(ring: Graph, noise: Graph, fit: Callable[..., Any]) -> None:
    config = {**CONFIG, "masking": {"share": 0.3}}
    given: dict[str, Any] = {"structure": {"position": 8}, "batch": 96, "steps": 50}
    losses = {}
    for name, graph in (("ring", ring), ("noise", noise)):
        roots = torch.tensor(list(graph.nodes("user")))
        roots = roots.repeat(-(-96 // len(roots)))
        looks = torch.tensor(graph.tables["item"]["look"].to_list())
        found = fit(graph, config, PAST, EVENTS, roots, **given)
        chance = looks.var(0, correction=0).mean().item()  # of who always says the mean
        losses[name] = found.last / chance
    assert losses["ring"] < 0.45
    assert losses["noise"] > 0.85

"""Hidden vectors of nodes, and texts and images that belong together."""

from collections.abc import Callable
from math import exp, log
from typing import Any

import pytest
import torch

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.graph.graph import Graph
from graphrec_pt.graph.spec import GraphSpec
from graphrec_pt.objectives.objective import objective
from graphrec_pt.tokens.kind import Kind, Special

CONFIG = {"name": "masked_modality", "node_type": "item"}

PAST, EVENTS = {"name": "history"}, {"name": "history"}


class Straight(torch.nn.Module):
    """Takes hidden states for predictions."""

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        return hidden


def test_masked_modality_by_hand(toy: Graph, making: Any, hand: Any) -> None:
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
        objective.build({**CONFIG, "node_type": "brand"}).check(GraphSpec.of(toy))
    with pytest.raises(GraphRecError, match="did you mean 'look'"):
        objective.build({**CONFIG, "column": "lok"}).check(GraphSpec.of(toy))


@pytest.mark.parametrize("form", ["mse", "kl", "info_nce"])
def test_gradients_of_masked_modality(toy: Graph, making: Any, hand: Any, form: str) -> None:
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


BRANDS = {"name": "modality_alignment", "node_type": "item", "other": "brand"}

HOPS = {"name": "k_hop", "fanout": [8, 30]}


def examples_of(graph: Graph, making: Any, users: list[int], epoch: int = 0) -> Any:
    preparation = making.prepared(graph, HOPS, "subgraph", torch.tensor(users))
    return making.examples(preparation, torch.arange(len(users)), epoch=epoch)


def test_match_by_hand(toy: Graph, making: Any, hand: Any) -> None:
    chosen: Any = objective.build(BRANDS)
    corrupted = chosen.corrupt(examples_of(toy, making, [0, 1]))
    at, seen = corrupted.targets, corrupted.views[0].tokens
    assert seen.type[at["nodes"]].unique().tolist() == [1]
    assert seen.type[at["others"]].unique().tolist() == [2]
    head = chosen.head(GraphSpec.of(toy), 2).double()
    with torch.no_grad():
        for side in (head.source, head.target):
            side.weight.copy_(torch.eye(2))
        head.relation.weight.copy_(torch.tensor([[1.0, -1.0]]))
        head.relation.bias.fill_(0.5)
    hidden = torch.zeros(len(seen.id), 2, dtype=torch.float64)
    hidden[at["nodes"]] = torch.tensor([2.0, 1.0], dtype=torch.float64)
    hidden[at["others"]] = torch.tensor([3.0, 4.0], dtype=torch.float64)
    # (2 · 3, 1 · 4) · (1, −1) + .5
    terms = [log(1 + exp(-2.5)) if match else log(1 + exp(2.5)) for match in at["match"].tolist()]
    states = hand.encoded(hidden, seen.ptr.tolist())
    encoded = type(states)(corrupted.views[0], states.hidden)
    loss = chosen.loss([encoded], corrupted, None, head)
    assert loss.item() == pytest.approx(sum(terms) / 2)


def test_contrast_by_hand(toy: Graph, making: Any, hand: Any) -> None:
    chosen: Any = objective.build({**BRANDS, "form": "info_nce", "temperature": 0.5})
    corrupted = chosen.corrupt(examples_of(toy, making, [0, 1]))
    items, brands = (view.tokens for view in corrupted.views)
    assert set(items.type.tolist()) == {1}
    assert set(brands.type.tolist()) == {2}
    left = hand.encoded([[2, 0], [0, 3]], [0, 1, 2])
    loss = chosen.loss([left, left], corrupted, None, chosen.head(GraphSpec.of(toy), 2))
    assert loss.item() == pytest.approx(log(1 + exp(-2)))


def test_half_have_the_nodes_of_another_root(ring: Graph, making: Any) -> None:
    matches = []
    for epoch in range(8):
        examples = examples_of(ring, making, list(range(24)), epoch)
        corrupted = objective.build(BRANDS).corrupt(examples)
        at, seen = corrupted.targets, corrupted.views[0].tokens
        changed = seen.id != examples.tokens.id
        assert set(changed.nonzero().flatten().tolist()) <= set(at["nodes"].tolist())
        row = seen.sequence_of()
        for n, match in enumerate(at["match"].tolist()):
            mine = changed[row == n]
            assert not match or not bool(mine.any())
            # Those of another root are as many different items as of the own one: six of a round.
            items = seen.id[(row == n) & (seen.type == 1)]
            assert len(items.unique()) == 6
        matches += at["match"].tolist()
    assert 0.35 < sum(matches) / len(matches) < 0.65


def test_text_is_the_other_modality_by_default(shop: Graph, making: Any, letters: Any) -> None:
    config: dict[str, Any] = {"name": "modality_alignment", "node_type": "item"}
    text = {"name": "text", "tokenizer": letters, "base": "history"}
    users = torch.arange(15)
    examples = making.examples(making.prepared(shop, {"name": "history"}, text, users), users)
    corrupted: Any = objective.build(config).corrupt(examples)
    seen, at = corrupted.views[0].tokens, corrupted.targets
    assert bool((seen.kind[at["others"]] == Kind.TEXT).all())
    halves = objective.build({**config, "form": "info_nce"}).corrupt(examples).views
    assert bool((halves[0].tokens.kind == Kind.NODE).all())
    assert bool((halves[1].tokens.kind == Kind.TEXT).all())


@pytest.mark.parametrize("form", ["match", "info_nce"])
def test_gradients_of_modality_alignment(toy: Graph, making: Any, hand: Any, form: str) -> None:
    config = {**BRANDS, "form": form, "temperature": 0.5}
    assert hand.gradients_hold(config, examples_of(toy, making, [0, 1]))


def test_modality_alignment_learns(small: Any, fit: Callable[..., Any]) -> None:
    """Each user has four items and the brand that makes them, one of six."""
    rates = [(u, 4 * u + k, k) for u in range(6) for k in range(4)]
    graph = small([6, 24, 6], rates, [(i, i // 4) for i in range(24)])
    config = {**BRANDS, "form": "info_nce", "temperature": 0.2}
    found = fit(graph, config, HOPS, "subgraph", torch.arange(6), steps=50, rate=3e-2)
    assert found.last < 0.3 * log(6)

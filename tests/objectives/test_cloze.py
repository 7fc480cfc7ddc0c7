"""Cloze tasks: hidden nodes and items, and everything that would give the answer away."""

import math
from collections.abc import Callable
from math import exp, log
from typing import Any

import pytest
import torch

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.graph.graph import Graph
from graphrec_pt.graph.spec import GraphSpec
from graphrec_pt.models.model import Model
from graphrec_pt.models.transformer import GraphTransformer
from graphrec_pt.models.view import Encoded
from graphrec_pt.objectives.objective import objective
from graphrec_pt.tokens.kind import Kind, Special
from graphrec_pt.tokens.tokens import Tokens

NONE = torch.zeros(0, dtype=torch.int64)

UP = [["rates", "rated_by", "rates"], ["rates", "made_by", "makes"], ["views", "tagged", "tags"]]

HOPS = {"name": "k_hop", "fanout": [4, 3], "distinct": False}

PAIRS = {"name": "path_subgraph", "metapaths": UP}

ITEMS = [[1.0, 0.0], [0.0, 1.0], [-1.0, 2.0]]

HIDDEN = [[0.5, 1.0], [2.0, -1.0], [0.0, 0.0]]


def masked(**options: Any) -> Any:
    return objective.build({"name": "masked_node", **options})


def dot(x: list[float], y: list[float]) -> float:
    return sum(p * q for p, q in zip(x, y, strict=True))


@pytest.mark.parametrize("temperature", [1.0, 0.5])
def test_masked_node_by_hand(hand: Any, toy: Any, written: Any, temperature: float) -> None:
    # User 0, items 2 and 4; share 1 hides both items.
    tokens = Tokens.of(
        torch.tensor([0, 2, 4]),
        Kind.NODE,
        torch.tensor([0, 3]),
        type=torch.tensor([0, 1, 1]),
        hop=torch.tensor([0, 1, 1]),
    )
    options = {"transform": False, "temperature": temperature}
    model = hand.model(toy, {"item": ITEMS})
    for how in ("softmax", "pairwise"):
        chosen = masked(masking={"share": 1}, candidates={"how": how, **options})
        corrupted = chosen.corrupt(written(toy, tokens))
        assert corrupted.targets["token"].tolist() == [1, 2]
        assert corrupted.targets["node"].tolist() == [2, 4]
        head = chosen.head(model.spec, 2)
        loss = chosen.loss([hand.encoded(HIDDEN)], corrupted, model, head)
        expected = 0.0
        steps = corrupted.targets.get("step", torch.zeros(2, dtype=torch.int64)).tolist()
        for hidden, place, step in zip(HIDDEN[1:], (0, 2), steps, strict=True):
            scores = [dot(hidden, item) / temperature for item in ITEMS]
            if how == "softmax":
                expected -= scores[place] - log(sum(exp(s) for s in scores))
            else:
                other = (place + step) % 3
                assert other != place
                expected += log(1 + exp(scores[other] - scores[place]))
        assert loss.item() == pytest.approx(expected / 2)


@pytest.mark.parametrize("how", ["softmax", "pairwise", "sampled", "bce"])
def test_gradients_of_masked_node(hand: Any, making: Any, toy: Any, how: str) -> None:
    preparation = making.prepared(
        toy, {"name": "k_hop", "fanout": [2]}, "subgraph", torch.arange(2)
    )
    config = {"name": "masked_node", "candidates": {"how": how, "negatives": 2}}
    assert hand.gradients_hold(config, making.examples(preparation, [0, 1]))


def nodes_in_sight(tokens: Tokens) -> list[set[int]]:
    return [set(tokens.select(b).nodes()[0].tolist()) for b in range(len(tokens))]


def test_a_hidden_node_stands_nowhere(whole: Any) -> None:
    examples = whole(PAIRS, pairs=True)
    row = examples.tokens.sequence_of()
    everywhere = masked(masking={"share": 0.3}).corrupt(examples)
    seen = nodes_in_sight(everywhere.views[0].tokens)
    at = everywhere.targets
    for token, node in zip(at["token"].tolist(), at["node"].tolist(), strict=True):
        assert node not in seen[int(row[token])]
    # The world can show the trap: some hidden nodes stand twice, and stay in sight without it.
    trapped = masked(masking={"share": 0.3, "everywhere": False}).corrupt(examples)
    seen = nodes_in_sight(trapped.views[0].tokens)
    told = zip(trapped.targets["token"].tolist(), trapped.targets["node"].tolist(), strict=True)
    assert any(node in seen[int(row[token])] for token, node in told)


def test_a_hidden_node_keeps_type_and_place(whole: Any) -> None:
    examples = whole(HOPS)
    corrupted = masked().corrupt(examples)
    before, after = examples.tokens, corrupted.views[0].tokens
    token = corrupted.targets["token"]
    assert (after.kind[token] == Kind.SPECIAL).all()
    assert (after.id[token] == Special.MASK).all()
    for name in ("type", "slot", "position", "hop", "parent", "relation"):
        assert torch.equal(getattr(after, name), getattr(before, name))
    others = torch.ones_like(before.id, dtype=torch.bool)
    others[token] = False
    assert torch.equal(after.id[others], before.id[others])


def test_roots_stay_unless_asked_for(whole: Any) -> None:
    for examples in (whole(HOPS), whole(PAIRS, pairs=True)):
        tokens = examples.tokens
        corrupted = masked(masking={"share": 1}).corrupt(examples)
        seen = corrupted.views[0].tokens
        assert (seen.kind[tokens.hop == 0] == Kind.NODE).all()
        name = (tokens.sequence_of() << 32) | tokens.id  # nor is a root hidden where it recurs
        recurs = torch.isin(name, name[tokens.hop == 0])
        assert (seen.kind[recurs] == Kind.NODE).all()


@pytest.mark.parametrize("everywhere", [True, False])
def test_one_root_stays_at_least(whole: Any, letters: Any, everywhere: bool) -> None:
    walks = {"name": "random_walk", "hops": 5, "repeats": 2, "restart": 0.3}
    text = {"name": "text", "tokenizer": letters, "base": "subgraph"}
    for examples in (
        whole(walks, "path"),
        whole(PAIRS, pairs=True),
        whole(PAIRS, text, pairs=True),
        whole(HOPS),
    ):
        tokens = examples.tokens
        policy = {"share": 1, "everywhere": everywhere}
        corrupted = masked(masking=policy, roots=True).corrupt(examples)
        seen = corrupted.views[0].tokens
        root = (tokens.hop == 0) & (seen.kind == Kind.NODE)
        left = torch.bincount(tokens.sequence_of()[root], minlength=len(tokens))
        assert (left > 0).all()
        if everywhere:  # and one node of each sequence only: all the others were to be hidden
            assert all(len(nodes) == 1 for nodes in nodes_in_sight(seen))


def test_the_pair_may_lose_either_root(whole: Any) -> None:
    examples = whole(PAIRS, pairs=True)
    corrupted = masked(masking={"share": 0.3}, roots=True).corrupt(examples)
    hidden = corrupted.targets["token"][examples.tokens.hop[corrupted.targets["token"]] == 0]
    assert set(examples.tokens.type[hidden].tolist()) == {0, 1}


def test_a_random_node_is_of_the_same_type(whole: Any, shop: Any) -> None:
    examples = whole(HOPS)
    corrupted = masked(masking={"share": 0.5, "mask": 0, "random": 1}).corrupt(examples)
    before, after = examples.tokens, corrupted.views[0].tokens
    assert (after.kind == Kind.NODE).all()
    assert torch.equal(shop.csr.node_type(after.id), before.type)
    token = corrupted.targets["token"]
    assert (after.id[token] != before.id[token]).double().mean() > 0.7
    name = (before.sequence_of() << 32) | before.id  # a node becomes the same one everywhere
    fate = {int(k): int(v) for k, v in zip(name[token], after.id[token], strict=True)}
    assert all(fate[int(k)] == int(v) for k, v in zip(name[token], after.id[token], strict=True))


def test_shares_of_bert(whole: Any) -> None:
    examples = whole({"name": "k_hop", "fanout": [8, 8], "replace": True, "distinct": False})
    policy = {"share": 1, "mask": 0.8, "random": 0.1, "everywhere": False}
    corrupted = masked(masking=policy).corrupt(examples)
    token = corrupted.targets["token"]
    seen = corrupted.views[0].tokens
    hidden = (seen.kind[token] == Kind.SPECIAL).double().mean().item()
    kept = (seen.id[token] == examples.tokens.id[token]).double().mean().item()
    # Of n draws the share lies within four standard deviations; a random one may hit itself.
    slack = 4 * (0.16 / len(token)) ** 0.5
    assert hidden == pytest.approx(0.8, abs=slack)
    assert 0.1 - slack < kept < 0.12 + slack


def test_the_text_of_a_hidden_node_is_hidden(whole: Any, letters: Any) -> None:
    text = {"name": "text", "tokenizer": letters, "base": "subgraph"}
    for policy in ({"share": 0.4}, {"share": 0.4, "mask": 0, "random": 1}):
        examples = whole(HOPS, text)
        tokens = examples.tokens
        corrupted = masked(masking=policy).corrupt(examples)
        seen = corrupted.views[0].tokens
        assert tokens.word is not None
        word = (tokens.sequence_of() << 32) | tokens.word
        about = (tokens.kind == Kind.TEXT) & torch.isin(word, word[corrupted.targets["token"]])
        assert about.any()
        assert (seen.kind[about] == Kind.SPECIAL).all()
        others = (tokens.kind == Kind.TEXT) & ~about
        assert others.any()
        assert torch.equal(seen.id[others], tokens.id[others])


def test_only_the_types_asked_for(whole: Any, shop: Any) -> None:
    corrupted = masked(types=["item", "brand"]).corrupt(whole(HOPS))
    assert set(corrupted.targets["type"].tolist()) <= {1, 2}
    with pytest.raises(GraphRecError, match="did you mean 'item'"):
        masked(types=["items"]).check(GraphSpec.of(shop))


def test_it_learns_the_colour(fit: Any, board: Any) -> None:
    """Of the 16 items 8 are of the user's colour, 7 are the user's own, 6 are in sight."""
    chance = log(16)
    sampler = {"name": "k_hop", "fanout": [7]}
    config = {"name": "masked_node", "candidates": {"transform": False}}
    options = {"steps": 200, "rate": 2e-2, "structure": {"type": None}}
    found = fit(board, config, sampler, "subgraph", torch.arange(16), **options)
    assert found.losses[0] == pytest.approx(chance, rel=0.1)
    assert found.last < log(8)  # the colour alone would leave this


def test_it_learns_nothing_where_nothing_tells(fit: Any, ring: Any, noise: Any) -> None:
    config = {"name": "masked_node", "candidates": {"transform": False}}
    history: Any = {"name": "history"}
    given = {"structure": {"position": 8}, "batch": 96, "rate": 2e-2, "steps": 40}
    found = fit(ring, config, history, history, torch.arange(24).repeat(4), **given)
    assert found.last < 0.5 * log(12)
    assert fit(noise, config, history, history, torch.arange(384), **given).last > 0.9 * log(12)


ITEM = 16


def build(**options):
    return objective.build({"name": "masked_item", **options})


def same_length(length, rows):
    ids = ITEM + torch.arange(length).repeat(rows) % 16
    ones = torch.ones_like(ids)
    return Tokens.of(ids, Kind.NODE, length * torch.arange(rows + 1), type=ones, hop=ones)


@pytest.mark.parametrize(
    ("length", "options", "hidden"),
    [
        (10, {}, 2),
        (10, {"share": 0.6}, 6),
        (10, {"share": 0.6, "most": 4}, 4),
        (2, {}, 1),
        (1, {}, 0),
        (3, {"share": 1.0}, 2),
    ],
)
def test_how_many_are_hidden(board, written, length, options, hidden):
    tokens = same_length(length, 7)
    corrupted = build(**options).corrupt(written(board, tokens))
    seen = corrupted.views[0].tokens
    masked = (seen.kind == Kind.SPECIAL) & (seen.id == Special.MASK)
    assert torch.bincount(seen.sequence_of()[masked], minlength=7).tolist() == [hidden] * 7
    assert corrupted.targets["token"].tolist() == masked.nonzero().squeeze(1).tolist()
    assert torch.equal(corrupted.targets["node"], tokens.id[masked])
    assert torch.equal(seen.type, tokens.type)


def test_a_share_has_the_last_alone(board, written):
    tokens = same_length(10, 2000)
    corrupted = build(last=0.25).corrupt(written(board, tokens))
    at = corrupted.targets["token"]
    count = torch.bincount(at // 10, minlength=2000)
    alone = count == 1
    assert set(count.tolist()) == {1, 2}
    assert float(alone.double().mean()) == pytest.approx(0.25, abs=0.04)
    assert bool((at[alone[at // 10]] % 10 == 9).all())


def test_repeats_stand_alone(board, written):
    ids = torch.full((50,), ITEM + 3)
    ones = torch.ones_like(ids)
    tokens = Tokens.of(ids, Kind.NODE, torch.tensor([0, 50]), type=ones, hop=ones)
    assert build().corrupt(written(board, tokens)).count == 10  # not all fifty of the one item


def test_hand_computed(board, written):
    model = Model.of(board, backbone=GraphTransformer(width=2, heads=1, layers=1)).double()
    chosen = build(candidates={"transform": False})
    corrupted = chosen.corrupt(written(board, same_length(4, 1)))
    (at,) = corrupted.targets["token"].tolist()
    hidden = torch.tensor([[1.0, -2], [3, 1], [2, 2], [0, 5]]).double()
    head = chosen.head(model.spec, 2)
    loss = chosen.loss([Encoded(corrupted.views[0], hidden)], corrupted, model, head)
    scores = [float(v @ hidden[at]) for v in model.table("item").detach()]
    expected = math.log(sum(math.exp(s) for s in scores)) - scores[at]
    assert float(loss.detach()) == pytest.approx(expected, abs=1e-9)


def test_learns_the_missing_twin(twins, fit):
    found = fit(
        twins,
        {"name": "masked_item", "last": 0.2},
        {"name": "history"},
        {"name": "history"},
        torch.arange(32),
        steps=80,
    )
    assert found.losses[0] > 0.8 * math.log(16)
    assert found.last < 0.3 * math.log(16)


CONFIG: dict[str, Any] = {
    "name": "masked_item_prediction",
    "candidates": {"how": "pairwise", "transform": False},
}

PAST, EVENTS = {"name": "history"}, {"name": "history"}


def test_masked_item_prediction_by_hand(toy: Graph, making: Any, hand: Any) -> None:
    chosen: Any = objective.build({**CONFIG, "masking": {"share": 0.1, "least": 0}})
    preparation = making.prepared(toy, PAST, EVENTS, torch.tensor([0]))
    corrupted = chosen.corrupt(making.examples(preparation, [0]))
    assert corrupted.targets["node"].tolist() == [3]  # the last one; 4 is the only one outside
    model = hand.model(toy, {"item": [[5, 5], [1, 2], [3, -1]]})
    # The state (1, 0.5) scores 2 with item 3 and 2.5 with item 4: one sigmoid of the difference.
    loss = chosen.loss([hand.encoded([[9, 9], [1, 0.5]])], corrupted, model, chosen.head(None, 2))
    assert loss.item() == pytest.approx(log(1 + exp(0.5)))


def test_negatives_were_never_in_the_history(ring: Graph, making: Any) -> None:
    users = torch.arange(24)
    preparation = making.prepared(ring, PAST, EVENTS, users)
    outside = 0
    for epoch in range(4):
        examples = making.examples(preparation, users, epoch=epoch)
        corrupted = objective.build({**CONFIG, "masking": {"share": 0.5}}).corrupt(examples)
        at, tokens = corrupted.targets, examples.tokens
        other = 24 + (at["node"] - 24 + at["step"]) % 12
        for token, negative in zip(at["token"].tolist(), other.tolist(), strict=True):
            row = int(tokens.sequence_of()[token])
            history = tokens.id[int(tokens.ptr[row]) : int(tokens.ptr[row + 1])]
            outside += negative not in history.tolist()
            assert negative != int(tokens.id[token])
    # Half of the catalogue is inside: four draws fail one time in 2**4 and less.
    assert outside / (4 * 24 * 3) > 0.9


def test_the_last_item_and_some_others_are_hidden(ring: Graph, making: Any) -> None:
    preparation = making.prepared(ring, PAST, EVENTS, torch.arange(24))
    examples = making.examples(preparation, torch.arange(24))
    for last in (True, False):
        chosen: Any = objective.build({**CONFIG, "last": last})
        seen = chosen.corrupt(examples).views[0].tokens
        hidden = seen.kind[seen.ptr[1:] - 1] == Kind.SPECIAL
        assert bool(hidden.all()) == last
        assert bool(hidden.any())


def test_gradients_of_masked_item_prediction(toy: Graph, making: Any, hand: Any) -> None:
    examples = making.examples(making.prepared(toy, PAST, EVENTS, torch.tensor([0, 1])), [0, 1])
    assert hand.gradients_hold(CONFIG, examples)
    assert hand.gradients_hold({"name": "masked_item_prediction"}, examples)


def test_learns_where_the_context_tells(ring: Graph, noise: Graph, fit: Callable[..., Any]) -> None:
    given = {"structure": {"position": 8}, "steps": 60}
    config = {**CONFIG, "candidates": {"how": "pairwise"}}
    assert fit(ring, config, PAST, EVENTS, torch.arange(24), **given).last < 0.5 * log(2)
    # An item outside the history can be told by what is in it, but not from the hidden one.
    found = fit(
        noise, {**config, "masking": {"share": 0.5}}, PAST, EVENTS, torch.arange(24), **given
    )
    assert found.last > 0.6 * log(2)


def test_masked_item_prediction_hides_the_given_types_alone(whole: Any, shop: Any) -> None:
    examples = whole(HOPS)
    config = {"name": "masked_item_prediction", "types": ["brand"], "last": False}
    corrupted = objective.build(config).corrupt(examples)
    assert corrupted.count > 0
    assert set(corrupted.targets["type"].tolist()) == {shop.schema.node_index("brand")}
    with pytest.raises(GraphRecError, match="did you mean 'brand'"):
        objective.build({**config, "types": ["brnd"]}).check(GraphSpec.of(shop))

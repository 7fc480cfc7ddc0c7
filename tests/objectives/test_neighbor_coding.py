"""Neighbour coding: the loss by hand, what is taken out, what a hard negative is."""

from math import exp, log
from typing import Any

import pytest
import torch

from graphrec_pt.models.heads import Coding
from graphrec_pt.objectives.neighbor_coding import _normal
from graphrec_pt.objectives.objective import TrainingExamples, objective
from graphrec_pt.tokens.kind import Kind
from graphrec_pt.tokens.tokens import Tokens

HOPS = {"name": "k_hop", "fanout": [5, 3], "edges": True}
ITEMS = [[1.0, 0.0], [0.0, 1.0], [-1.0, 2.0]]
USERS = [[0.5, 0.5], [1.0, -1.0]]


def coding(**options: Any) -> Any:
    return objective.build({"name": "neighbor_coding", **options})


def dot(x: list[float], y: list[float]) -> float:
    return sum(p * q for p, q in zip(x, y, strict=True))


def plain(noisy: bool) -> Coding:
    """Return a head with μ(h) = h and, if noisy, log σ²(h) = (0, h_1)."""
    head = Coding(2, noisy).double()
    with torch.no_grad():
        head.mean.weight.copy_(torch.eye(2))
        head.mean.bias.zero_()
        if head.log_variance is not None:
            head.log_variance.weight.copy_(torch.tensor([[0.0, 0.0], [1.0, 0.0]]))
            head.log_variance.bias.zero_()
    return head


@pytest.mark.parametrize("bottleneck", [0.0, 0.3])
def test_the_loss_by_hand(hand: Any, toy: Any, bottleneck: float) -> None:
    """Root 0 lost items 2 and 4, and user 1; item 3 twice and 4 are shared, 2 and user 1 far."""
    chosen = coding(bottleneck=bottleneck, hard=1, temperature=0.5)
    code = [0.2, -0.4]
    at = {
        "row": [0, 0, 0],
        "node": [2, 4, 1],
        "type": [1, 1, 0],
        "noise": [9],
        "negatives.0": [0, 1],
        "negatives.1": [3, 3, 4],
        "hard": [[2, 1], [2, 1], [2, 1]],
    }
    corrupted = TrainingExamples((), {name: torch.tensor(value) for name, value in at.items()}, 3)
    model = hand.model(toy, {"item": ITEMS, "user": USERS, "brand": USERS}).eval()
    encoded = hand.encoded([code])
    tokens = encoded.view.tokens
    root = Tokens.of(tokens.id, Kind.NODE, tokens.ptr, hop=tokens.id, type=tokens.id)
    view = type(encoded.view)(root)
    encoded = type(encoded)(view, encoded.hidden)
    loss = chosen.loss([encoded], corrupted, model, plain(bottleneck > 0))

    def score(vector: list[float]) -> float:
        return dot(code, vector) / 0.5

    expected = 0.0
    for true, others in (
        (ITEMS[0], [ITEMS[1], ITEMS[1], ITEMS[2]]),  # the far item 2 is the answer itself
        (ITEMS[2], [ITEMS[1], ITEMS[1], ITEMS[0]]),  # the shared item 4 is, the far 2 is not
        (USERS[1], [USERS[0]]),  # the far user 1 is the answer, and so is the shared one
    ):
        expected -= score(true) - log(sum(exp(score(v)) for v in [true, *others]))
    spread = code[0]  # log σ² of the second number
    divergence = (code[0] ** 2 + code[1] ** 2 + exp(spread) - 1 - spread) / 2
    assert loss.item() == pytest.approx(expected / 3 + bottleneck * divergence)


def test_gradients(hand: Any, whole: Any) -> None:
    for options in ({}, {"hard": 2, "cosine": True}, {"bottleneck": 0.1}):
        config = {"name": "neighbor_coding", "negatives": 4, **options}
        assert hand.gradients_hold(config, whole(HOPS))


def test_noise_is_normal_and_named() -> None:
    noise = _normal(torch.arange(4000), 3)
    assert torch.equal(noise, _normal(torch.arange(4000), 3))
    assert torch.equal(noise[7:9], _normal(torch.tensor([7, 8]), 3))
    assert noise.mean(0).abs().max() < 4 / 4000**0.5
    assert (torch.cov(noise.T) - torch.eye(3)).abs().max() < 0.1
    assert (noise.abs() < 1).double().mean().item() == pytest.approx(0.6827, abs=0.02)


def test_evaluation_has_no_noise(hand: Any, toy: Any, making: Any) -> None:
    preparation = making.prepared(
        toy, {"name": "k_hop", "fanout": [2]}, "subgraph", torch.arange(2)
    )
    chosen = coding(bottleneck=0.5)
    corrupted = chosen.corrupt(making.examples(preparation, [0, 1]))
    model = hand.model(toy, {"item": ITEMS, "user": USERS, "brand": USERS})
    states = torch.randn(len(corrupted.views[0].tokens.id), 2, dtype=torch.float64)
    encoded = type(hand.encoded([[0.0, 0.0]]))(corrupted.views[0], states)

    def loss(words: int) -> float:
        noise = torch.full_like(corrupted.targets["noise"], words)
        told = TrainingExamples(
            corrupted.views, {**corrupted.targets, "noise": noise}, corrupted.count
        )
        return float(chosen.loss([encoded], told, model, plain(True)).detach())

    model.train()
    assert loss(1) != loss(2)
    model.eval()
    assert loss(1) == loss(2)


def test_what_is_taken_out_is_gone(whole: Any) -> None:
    metapaths = [["rates", "rated_by", "rates"], ["views", "viewed_by", "rates"]]
    pairs = {"name": "path_subgraph", "metapaths": metapaths, "edges": True}
    for examples in (whole(HOPS), whole(pairs, pairs=True)):
        tokens = examples.tokens
        corrupted = coding(share=0.5).corrupt(examples)
        left = corrupted.views[0].tokens
        at = corrupted.targets
        name = (at["row"] << 32) | at["node"]
        assert len(torch.unique(name)) == len(name)  # one term a node
        assert not torch.isin(name, (left.sequence_of() << 32) | left.id).any()
        assert len(left) == len(tokens)
        roots = [(each.sequence_of() << 32 | each.id)[each.hop == 0] for each in (tokens, left)]
        assert torch.equal(*roots)


def test_every_hop_loses_some_and_keeps_some(whole: Any, shop: Any) -> None:
    examples = whole(HOPS)
    tokens = examples.tokens
    left = coding(share=0.5).corrupt(examples).views[0].tokens
    for row in range(len(tokens)):
        before, after = tokens.select(row), left.select(row)
        for hop in (1, 2):
            had, has = (int((each.hop == hop).sum()) for each in (before, after))
            assert has == had - min(max(round(had * 0.5), 1), max(had - 1, 0))


def test_hard_negatives_are_far(whole: Any, shop: Any) -> None:
    examples = whole({"name": "k_hop", "fanout": [3]})
    corrupted = coding(hard=16, hops=3).corrupt(examples)
    found = 0
    for row, hard in zip(*(corrupted.targets[n].tolist() for n in ("row", "hard")), strict=True):
        here = set(examples.tokens.select(row).id.tolist())
        near = set(shop.neighbors(row).tolist())
        far = {node for node in hard if node >= 0}
        assert not far & (here | near)
        found += len(far)
    assert found


def test_it_learns_whose_neighbours(fit: Any, colors: Any) -> None:
    """Half of the negatives are of the other colour, and wrong at sight."""
    config = {"name": "neighbor_coding", "negatives": 8, "share": 0.5}
    sampler = {"name": "k_hop", "fanout": [4], "relations": ["rates", "rated_by"]}
    found = fit(colors, config, sampler, "subgraph", torch.arange(32), rate=5e-3)
    # Of eight negatives half are of the right colour, and one in sixteen is the answer itself.
    chance, colour = log(1 + 8 * 15 / 16), log(1 + 8 * 7 / 16)
    assert found.losses[0] > 0.9 * chance
    assert found.last < (chance + colour) / 2

"""Contrast of subgraphs: the loss by hand, what the copies keep, and who is no negative."""

from dataclasses import replace
from math import exp, log, sqrt
from typing import Any

import pytest
import torch

from graphrec_pt.objectives.edge_masking import links
from graphrec_pt.objectives.objective import Corrupted, objective
from graphrec_pt.tokens.kind import Kind
from graphrec_pt.tokens.tokens import Tokens, same

UP = [["rates", "rated_by", "rates"], ["rates", "made_by", "makes"]]
HOPS = {"name": "k_hop", "fanout": [4, 3], "distinct": False, "edges": True}
PAIRS = {"name": "path_subgraph", "metapaths": UP}


def contrast(**options: Any) -> Any:
    return objective.build({"name": "subgraph_contrast", **options})


def cos(x: list[float], y: list[float]) -> float:
    dot = sum(p * q for p, q in zip(x, y, strict=True))
    return dot / sqrt(sum(p * p for p in x) * sum(q * q for q in y))


def test_the_loss_by_hand(hand: Any) -> None:
    one = [[1.0, 0.0], [3.0, 2.0], [0.0, 1.0]]  # two sequences: tokens 0 and 1, token 2
    two = [[2.0, 2.0], [1.0, -1.0], [0.5, 1.0], [0.5, 3.0]]
    chosen = contrast(temperature=0.5)
    encoded = [hand.encoded(one, [0, 2, 3]), hand.encoded(two, [0, 1, 4])]
    corrupted = Corrupted((), {"same": torch.tensor([3, 5])}, 2)
    loss = chosen.loss(encoded, corrupted, None, torch.nn.Identity())
    views = [[2.0, 1.0], [0.0, 1.0], [2.0, 2.0], [2 / 3, 1.0]]  # means; i and i + 2 are one thing
    expected = 0.0
    for i, view in enumerate(views):
        others = [exp(cos(view, x) / 0.5) for j, x in enumerate(views) if j != i]
        expected -= log(exp(cos(view, views[(i + 2) % 4]) / 0.5) / sum(others))
    assert loss.item() == pytest.approx(expected / 4)


@pytest.mark.parametrize("pool", ["mean", "roots", "first"])
def test_gradients(hand: Any, whole: Any, pool: str) -> None:
    examples = whole(HOPS, {"name": "subgraph", "cls": True})
    assert hand.gradients_hold({"name": "subgraph_contrast", "pool": pool}, examples)


def test_sequences_of_one_root_are_no_negatives(hand: Any, making: Any, shop: Any) -> None:
    users = torch.tensor([2, 5, 2])
    pairs = torch.stack([users, torch.tensor([20, 20, 20])], dim=1)
    for sampler, roots in ((HOPS, users), (PAIRS, pairs)):
        preparation = making.prepared(shop, sampler, "subgraph", roots)
        corrupted = contrast().corrupt(making.examples(preparation, [0, 1, 2]))
        whose = corrupted.targets["same"].tolist()
        assert whose[0] == whose[2] != whose[1]
    walks = {"name": "random_walk", "hops": 3, "repeats": 2}
    preparation = making.prepared(shop, walks, "path", users[:2])
    corrupted = contrast().corrupt(making.examples(preparation, [0, 1]))
    assert corrupted.targets["same"].tolist() == [2, 2, 5, 5]
    # Alone with another walk of its own root, a walk has nothing to be told from.
    states = torch.randn(2, 3, generator=torch.Generator().manual_seed(0)).double()
    states.requires_grad_()
    alone = replace(corrupted, targets={"same": torch.tensor([2, 2])})
    encoded = [replace(hand.encoded(torch.zeros(2, 3), [0, 1, 2]), hidden=states)] * 2
    loss = contrast().loss(encoded, alone, None, torch.nn.Identity())
    assert loss.item() == 0
    loss.backward()
    assert (states.grad == 0).all()


def kept(seen: Tokens, tokens: Tokens) -> list[tuple[set[int], set[int]]]:
    return [
        tuple(set(each.select(b).nodes()[0].tolist()) for each in (tokens, seen))
        for b in range(len(tokens))
    ]


def test_nodes_go_as_a_whole_and_roots_stay(whole: Any, letters: Any) -> None:
    text = {"name": "text", "tokenizer": letters, "base": "subgraph"}
    for examples in (whole(PAIRS, text, pairs=True), whole(HOPS, text)):
        tokens = examples.tokens
        corrupted = contrast(drop=0.4).corrupt(examples)
        one, other = (view.tokens for view in corrupted.views)
        assert not same(one, other)
        gone = total = 0
        for seen in (one, other):
            names = [
                ((each.sequence_of() << 32) | each.id)[each.kind == Kind.NODE]
                for each in (tokens, seen)
            ]
            left = torch.isin(*names)  # a node stays wherever it stood, or nowhere
            assert len(names[1]) == int(left.sum())
            roots = names[0][(tokens.hop == 0)[tokens.kind == Kind.NODE]]
            assert torch.isin(roots, names[1]).all()
            gone, total = gone + int((~left).sum()), total + len(left)
            assert seen.word is not None
            words = (seen.sequence_of() << 32) | seen.word
            spoken = seen.kind == Kind.TEXT  # no text without its node
            assert torch.isin(words[spoken], words[seen.kind == Kind.NODE]).all()
        assert 0.2 < gone / total < 0.5


def test_nothing_dropped_leaves_all_in_place(whole: Any) -> None:
    examples = whole(HOPS)
    corrupted = contrast(drop=0.0).corrupt(examples)
    assert all(same(view.tokens, examples.tokens) for view in corrupted.views)


def test_substitutes_are_of_the_same_type(whole: Any, shop: Any) -> None:
    examples = whole(HOPS)
    tokens = examples.tokens
    corrupted = contrast(drop=0.0, substitute=0.5).corrupt(examples)
    for view in corrupted.views:
        assert torch.equal(shop.csr.node_type(view.tokens.id), tokens.type)
        assert (view.tokens.id == tokens.id)[tokens.hop == 0].all()
        changed = (view.tokens.id != tokens.id).double().mean()
        assert 0.2 < changed < 0.6


def test_edges_go_on_request(whole: Any) -> None:
    examples = whole(HOPS)
    corrupted = contrast(drop=0.0, edges=0.5).corrupt(examples)
    before = int(links(examples.tokens).sum())
    for view in corrupted.views:
        assert 0.2 < int(links(view.tokens).sum()) / before < 0.7
        assert len(view.tokens.edges) < len(examples.tokens.edges)
        assert torch.equal(view.tokens.id, examples.tokens.id)


def test_it_learns_to_find_the_copy(fit: Any, shop: Any) -> None:
    sampler = {"name": "k_hop", "fanout": [6]}
    config = {"name": "subgraph_contrast", "drop": 0.3}
    roots = torch.arange(15)
    found = fit(shop, config, sampler, "subgraph", roots, steps=400, batch=15)
    chance = log(2 * 15 - 1)
    assert found.losses[0] > 0.5 * chance
    assert found.last < 0.2 * chance

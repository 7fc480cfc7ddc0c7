"""Contrast: sums written out, versions of histories, copies of subgraphs."""

from collections.abc import Callable
from dataclasses import replace
from math import exp, log, sqrt
from typing import Any

import pytest
import torch
from torch import Tensor

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.graph.graph import Graph
from graphrec_pt.objectives.contrast import info_nce, nt_xent
from graphrec_pt.objectives.edge_masking import links
from graphrec_pt.objectives.objective import TrainingExamples, objective
from graphrec_pt.tokens.kind import Kind
from graphrec_pt.tokens.tokens import Tokens, same


def drawn(seed: int, rows: int, width: int = 3) -> Tensor:
    return torch.randn(
        rows, width, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)
    )


def cos(x: list[float], y: list[float]) -> float:
    dot = sum(p * q for p, q in zip(x, y, strict=True))
    return dot / sqrt(sum(p * p for p in x) * sum(q * q for q in y))


def slow_info_nce(a: Tensor, b: Tensor, temperature: float, same: list[int]) -> float:
    left, right, total = a.tolist(), b.tolist(), 0.0
    for i, x in enumerate(left):
        below = sum(
            exp(cos(x, y) / temperature)
            for j, y in enumerate(right)
            if j == i or same[j] != same[i]
        )
        total -= log(exp(cos(x, right[i]) / temperature) / below)
    return total / len(left)


def slow_nt_xent(a: Tensor, b: Tensor, temperature: float, same: list[int]) -> float:
    views = [*a.tolist(), *b.tolist()]
    n, total = len(a), 0.0
    for i, x in enumerate(views):
        partner = (i + n) % (2 * n)
        below = sum(
            exp(cos(x, y) / temperature)
            for j, y in enumerate(views)
            if j == partner or same[j % n] != same[i % n]
        )
        total -= log(exp(cos(x, views[partner]) / temperature) / below)
    return total / (2 * n)


def test_two_rows_at_right_angles() -> None:
    a = torch.tensor([[2.0, 0.0], [0.0, 5.0]])
    # Cosines are 1 with the own row, 0 with the other: both terms are log(1 + e^{-1/τ}).
    assert float(info_nce(a, a, 0.5)) == pytest.approx(log(1 + exp(-2)))
    products = info_nce(a, a, 2.0, cosine=False)  # 4/2 and 25/2 against 0
    assert float(products) == pytest.approx((log(1 + exp(-2)) + log(1 + exp(-12.5))) / 2)


def test_nt_xent_of_two_things() -> None:
    a = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    # Of every view: its partner at 1, the two views of the other thing at 0.
    assert float(nt_xent(a, 3 * a, 1.0)) == pytest.approx(log(1 + 2 * exp(-1)))


@pytest.mark.parametrize("same", [[0, 1, 2, 3], [0, 1, 0, 2], [0, 0, 0, 0]])
def test_both_equal_the_sums_written_out(same: list[int]) -> None:
    a, b = drawn(0, 4), drawn(1, 4)
    names = torch.tensor(same)
    assert float(info_nce(a, b, 0.3, names)) == pytest.approx(slow_info_nce(a, b, 0.3, same))
    assert float(nt_xent(a, b, 0.3, names)) == pytest.approx(slow_nt_xent(a, b, 0.3, same))


def test_rows_past_the_anchors_are_negatives_only() -> None:
    a, b = drawn(0, 2), drawn(1, 5)
    assert float(info_nce(a, b, 0.3)) == pytest.approx(slow_info_nce(a, b, 0.3, list(range(5))))


def test_masked_negatives_contribute_nothing() -> None:
    a, b = drawn(0, 1), drawn(1, 3).requires_grad_()
    (gradient,) = torch.autograd.grad(info_nce(a, b, 0.3, torch.tensor([0, 1, 0])), b)
    assert bool((gradient[2] == 0).all())
    assert bool((gradient[:2] != 0).all())
    a, b = drawn(0, 3).requires_grad_(), drawn(1, 3).requires_grad_()
    one_thing = nt_xent(a, b, 0.3, torch.zeros(3, dtype=torch.int64))
    assert one_thing.item() == 0
    for gradient in torch.autograd.grad(one_thing, [a, b]):
        assert bool((gradient == 0).all())


def test_a_term_does_not_change_with_the_rows_masked_for_it() -> None:
    a, b = drawn(0, 3), drawn(1, 3)
    names = torch.tensor([0, 1, 0])
    moved = b.clone()
    moved[2] = 100.0  # anchor 0 must not notice; anchor 1 does, and anchor 2 is its own
    terms = [
        [
            float(info_nce(a[[i]], torch.cat([x[[i]], x[rest]]), 0.3, names[[i, *rest]]))
            for i, rest in ((0, [1, 2]), (1, [0, 2]))
        ]
        for x in (b, moved)
    ]
    assert terms[0][0] == terms[1][0]
    assert terms[0][1] != terms[1][1]


@pytest.mark.parametrize("loss", [info_nce, nt_xent])
def test_gradients_of_loss(loss: object) -> None:
    a, b = drawn(0, 3).requires_grad_(), drawn(1, 3).requires_grad_()
    names = torch.tensor([0, 1, 0])
    assert torch.autograd.gradcheck(lambda x, y: loss(x, y, 0.5, names), (a, b))  # type: ignore[operator]


def test_none_and_only_the_same_cost_nothing() -> None:
    none = torch.zeros(0, 3, requires_grad=True)
    for loss in (info_nce, nt_xent):
        assert loss(none, none).item() == 0
        assert loss(drawn(0, 1), drawn(1, 1)).item() == 0  # no negatives at all
        loss(none, none).backward()


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(GraphRecError, match=r"m >= n"):
        info_nce(drawn(0, 3), drawn(0, 2))
    with pytest.raises(GraphRecError, match="equal length"):
        nt_xent(drawn(0, 2), drawn(0, 3))
    with pytest.raises(GraphRecError, match="temperature > 0"):
        info_nce(drawn(0, 2), drawn(0, 2), 0.0)
    with pytest.raises(GraphRecError, match=r"int64 \[2\]"):
        nt_xent(drawn(0, 2), drawn(0, 2), 0.5, torch.tensor([0]))


PAST, EVENTS = {"name": "history"}, {"name": "history"}


def test_history_contrast_by_hand(ring: Graph, making: Any, hand: Any) -> None:
    preparation = making.prepared(ring, PAST, EVENTS, torch.tensor([0, 1]))
    views = hand.encoded([[4, 0], [0, 1]], [0, 1, 2]), hand.encoded([[1, 0], [0, 9]], [0, 1, 2])
    # Cosines are 1 with the own version, 0 with every other.
    for form, others in (("nt_xent", 2), ("info_nce", 1)):
        chosen: Any = objective.build(
            {"name": "history_contrast", "loss_form": form, "temperature": 0.5}
        )
        corrupted = chosen.corrupt(making.examples(preparation, [0, 1]))
        loss = chosen.loss(views, corrupted, None, chosen.head(None, 2))
        assert loss.item() == pytest.approx(log(1 + others * exp(-2)))


def test_versions_are_drawn_apart(ring: Graph, making: Any) -> None:
    preparation = making.prepared(ring, PAST, EVENTS, torch.arange(24))
    chosen: Any = objective.build("history_contrast")
    corrupted = chosen.corrupt(making.examples(preparation, torch.arange(24)))
    first, second = (view.tokens for view in corrupted.views)
    assert corrupted.count == len(first) == len(second) == 24
    differ = sum(first.select(n).id.tolist() != second.select(n).id.tolist() for n in range(24))
    assert differ > 18


def test_who_did_nothing_is_left_out(shop: Graph, making: Any) -> None:
    users = torch.tensor([15, 0, 15])  # 15 rates nothing
    examples = making.examples(
        making.prepared(shop, PAST, {**EVENTS, "root": True}, users), [0, 1, 2]
    )
    corrupted: Any = objective.build("history_contrast").corrupt(examples)
    assert corrupted.count == 1
    assert all(len(view.tokens) == 1 for view in corrupted.views)


@pytest.mark.parametrize("options", [{}, {"loss_form": "info_nce", "projection": True}])
def test_gradients_of_history_contrast(
    ring: Graph, making: Any, hand: Any, options: dict[str, Any]
) -> None:
    examples = making.examples(making.prepared(ring, PAST, EVENTS, torch.arange(24)), [0, 5, 9])
    assert hand.gradients_hold({"name": "history_contrast", **options}, examples)


def test_history_contrast_learns(ring: Graph, fit: Callable[..., Any]) -> None:
    config = {"name": "history_contrast", "augment": {"operations": ["drop"]}, "temperature": 0.2}
    found = fit(ring, config, PAST, EVENTS, torch.arange(12), steps=60, rate=1e-2)
    assert found.losses[0] > 0.7 * log(23)  # 12 histories, two versions each
    assert found.last < 0.7 * log(23)


UP = [["rates", "rated_by", "rates"], ["rates", "made_by", "makes"]]

HOPS = {"name": "k_hop", "fanout": [4, 3], "distinct": False, "edges": True}

PAIRS = {"name": "path_subgraph", "metapaths": UP}


def contrast(**options: Any) -> Any:
    return objective.build({"name": "subgraph_contrast", **options})


def test_subgraph_contrast_by_hand(hand: Any) -> None:
    one = [[1.0, 0.0], [3.0, 2.0], [0.0, 1.0]]  # two sequences: tokens 0 and 1, token 2
    two = [[2.0, 2.0], [1.0, -1.0], [0.5, 1.0], [0.5, 3.0]]
    chosen = contrast(temperature=0.5)
    encoded = [hand.encoded(one, [0, 2, 3]), hand.encoded(two, [0, 1, 4])]
    corrupted = TrainingExamples((), {"same": torch.tensor([3, 5])}, 2)
    loss = chosen.loss(encoded, corrupted, None, torch.nn.Identity())
    views = [[2.0, 1.0], [0.0, 1.0], [2.0, 2.0], [2 / 3, 1.0]]  # means; i and i + 2 are one thing
    expected = 0.0
    for i, view in enumerate(views):
        others = [exp(cos(view, x) / 0.5) for j, x in enumerate(views) if j != i]
        expected -= log(exp(cos(view, views[(i + 2) % 4]) / 0.5) / sum(others))
    assert loss.item() == pytest.approx(expected / 4)


@pytest.mark.parametrize("pool", ["mean", "roots", "first"])
def test_gradients_of_subgraph_contrast(hand: Any, whole: Any, pool: str) -> None:
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

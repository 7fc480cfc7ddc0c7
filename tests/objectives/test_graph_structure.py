"""Graph structure: cosines as the only logits, neighbours and others made alike."""

from math import exp, log, sqrt
from typing import Any

import pytest
import torch

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.graph.derive import derive
from graphrec_pt.graph.spec import GraphSpec
from graphrec_pt.objectives.objective import TrainingExamples, objective
from graphrec_pt.tokens.tokens import same

HOPS = {"name": "k_hop", "fanout": [3, 2], "edges": True}


def structure(**options: Any) -> Any:
    return objective.build({"name": "graph_structure", **options})


def cos(x: list[float], y: list[float]) -> float:
    dot = sum(p * q for p, q in zip(x, y, strict=True))
    return dot / sqrt(sum(p * p for p in x) * sum(q * q for q in y))


ROOTS = [[1.0, 0.0], [1.0, 1.0]]
NEIGHBORS = [[3.0, 1.0], [-1.0, 2.0]]
OTHERS = [[0.0, 2.0], [1.0, -1.0], [2.0, 2.1], [0.5, 0.0]]


def loss_of(hand: Any, scale: float = 1.0, **options: Any) -> float:
    parts = [torch.tensor(part) * scale for part in (ROOTS, NEIGHBORS, OTHERS)]
    encoded = [hand.encoded(part, range(len(part) + 1)) for part in parts]
    chosen = structure(pool="mean", negatives=2, **options)
    return float(chosen.loss(encoded, TrainingExamples((), {}, 2), None, None))


@pytest.mark.parametrize("temperature", [1.0, 0.2])
def test_the_loss_by_hand(hand: Any, temperature: float) -> None:
    """One sigmoid: at cosine s a neighbour costs log(1 + e^(−s/τ)), and no more than that."""
    expected = 0.0
    for n, (root, neighbor) in enumerate(zip(ROOTS, NEIGHBORS, strict=True)):
        expected += log(1 + exp(-cos(root, neighbor) / temperature))
        for other in OTHERS[2 * n : 2 * n + 2]:
            expected += log(1 + exp(cos(root, other) / temperature))
    assert loss_of(hand, temperature=temperature) == pytest.approx(expected / 6)


def test_norms_are_no_logits(hand: Any) -> None:
    assert loss_of(hand, scale=1.0) == pytest.approx(loss_of(hand, scale=50.0))


def test_gradients(hand: Any, whole: Any) -> None:
    assert hand.gradients_hold({"name": "graph_structure", "negatives": 2}, whole(HOPS))


def roots_of(view: Any) -> list[int]:
    tokens = view.tokens
    assert (tokens.hop[tokens.ptr[:-1]] == 0).all()
    found: list[int] = tokens.id[tokens.ptr[:-1]].tolist()
    return found


@pytest.mark.parametrize("relation", [None, "rates"])
def test_neighbours_are_neighbours_and_others_are_not(
    whole: Any, shop: Any, relation: str | None
) -> None:
    corrupted = structure(relation=relation, negatives=3).corrupt(whole(HOPS))
    root, neighbor, others = (roots_of(view) for view in corrupted.views)
    assert root == list(range(15))  # the last user has no neighbour
    for n, (source, target) in enumerate(zip(root, neighbor, strict=True)):
        leaving = [relation] if relation else ["rates", "views"]
        by = [name for name in leaving if target in shop.neighbors(source, name).tolist()]
        assert by
        for other in others[3 * n : 3 * n + 3]:
            assert shop.type_of(other) == shop.type_of(target)
            assert any(other not in shop.neighbors(source, name).tolist() for name in by)


def test_all_three_go_through_one_procedure(making: Any, shop: Any) -> None:
    """What the objective shows of a node is what anybody gets who samples that node."""
    preparation = making.prepared(shop, HOPS, "subgraph", torch.arange(16))
    examples = making.examples(preparation, torch.arange(16))
    corrupted = structure(hide=False, negatives=2).corrupt(examples)
    for view in corrupted.views:
        roots = torch.tensor(roots_of(view))
        by_itself = making.prepared(
            shop, HOPS, "subgraph", roots, exclude=torch.full_like(roots, -1)
        )
        expected = making.examples(by_itself, torch.arange(len(roots)))
        assert same(view.tokens, expected.tokens)


def test_the_edge_between_them_is_hidden_from_both(whole: Any, shop: Any) -> None:
    for hide in (True, False):
        corrupted = structure(relation="rates", hide=hide).corrupt(whole(HOPS))
        told = []
        pairs = zip(*(roots_of(view) for view in corrupted.views[:2]), strict=True)
        for n, (source, target) in enumerate(pairs):
            for view in corrupted.views[:2]:
                mine = view.tokens.select(n)
                triples = mine.triples().tolist()
                ids = mine.id.tolist()
                triples += [[ids[a], r, ids[b]] for a, r, b in mine.edges.tolist()]
                told.append([source, 0, target] in triples or [target, 1, source] in triples)
        assert any(told) != hide


def test_an_excluded_edge_is_never_the_answer(making: Any, shop: Any) -> None:
    """Every user's edges are excluded in turn; with a single edge nothing is left to ask."""
    for user in range(15):
        edges = shop.edges("rates")
        mine = edges.edge[edges.source == user]
        hidden = {int(e): int(t) for e, t in zip(mine, edges.target[edges.source == user])}  # noqa: B905
        roots = torch.full((len(mine),), user)
        preparation = making.prepared(shop, HOPS, "subgraph", roots, exclude=mine.long())
        for epoch in range(3):
            examples = making.examples(preparation, torch.arange(len(mine)), epoch=epoch)
            corrupted = structure(relation="rates").corrupt(examples)
            assert corrupted.count == (len(mine) if len(mine) > 1 else 0)
            for edge, target in zip(mine.tolist(), roots_of(corrupted.views[1]), strict=False):
                assert hidden[edge] != target


def test_what_it_cannot_do_is_refused(whole: Any, shop: Any) -> None:
    with pytest.raises(GraphRecError, match="did you mean 'rates'"):
        structure(relation="rate").check(GraphSpec.of(shop))
    sampler = {"name": "path_subgraph", "metapaths": [["rates", "rated_by", "rates"]]}
    with pytest.raises(GraphRecError, match="roots that are nodes"):
        structure().corrupt(whole(sampler, pairs=True))
    with pytest.raises(GraphRecError, match="one sequence for each root"):
        structure().corrupt(whole({"name": "random_walk", "hops": 2, "repeats": 2}, "path"))


def test_it_learns_who_are_neighbours(fit: Any, colors: Any) -> None:
    sampler = {"name": "k_hop", "fanout": [4], "relations": ["rates", "rated_by"]}
    config = {"name": "graph_structure", "relation": "rates", "temperature": 0.2}
    found = fit(colors, config, sampler, "subgraph", torch.arange(16), steps=40, rate=5e-3)
    assert found.losses[0] > log(2)
    assert found.last < 0.1 * log(2)


def test_an_edge_is_hidden_in_both_directions(making: Any, shop: Any) -> None:
    """Co-interaction stores i → j and j → i apart; neither sequence may hold the other's root."""
    linked = derive(shop, [{"name": "co_interaction", "of": "rates", "least": 1, "top": 3}])
    near = {"name": "k_hop", "fanout": [50], "relations": ["co_interacts"]}
    items = torch.tensor(list(linked.nodes("item")))
    made = making.prepared(linked, near, {"name": "neighbor_set"}, items)
    examples = making.examples(made, torch.arange(len(items)))
    corrupted = structure(relation="co_interacts").corrupt(examples)
    root, neighbor = corrupted.views[0].tokens, corrupted.views[1].tokens
    both = 0
    for row, (source, target) in enumerate(
        zip(roots_of(corrupted.views[0]), roots_of(corrupted.views[1]), strict=True)
    ):
        mine = root.id[root.ptr[row] : root.ptr[row + 1]].tolist()
        theirs = neighbor.id[neighbor.ptr[row] : neighbor.ptr[row + 1]].tolist()
        assert target not in mine
        assert source not in theirs
        both += source in linked.neighbors(target, "co_interacts").tolist()
    assert both > 3  # edges that are stored the other way too

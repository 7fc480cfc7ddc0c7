"""Masked edges: the loss by hand, and a view that does not tell which edge it was."""

from dataclasses import replace
from math import exp, log
from typing import Any

import pytest
import torch

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.graph.spec import GraphSpec
from graphrec_pt.kernels.csr import NO_TIME
from graphrec_pt.objectives.edge_masking import (
    links,
    pair_of_link,
    same_nodes,
    without_edges,
    without_slots,
)
from graphrec_pt.objectives.masking import first_occurrence
from graphrec_pt.objectives.objective import TrainingExamples, objective
from graphrec_pt.tokens.kind import Kind, Special
from graphrec_pt.tokens.tokens import Tokens, same

UP = [["rates", "rated_by", "rates"], ["views", "viewed_by", "rates"], ["views", "tagged", "tags"]]
HOPS = {"name": "k_hop", "fanout": [4, 3], "distinct": False, "edges": True}
PAIRS = {"name": "path_subgraph", "metapaths": UP, "edges": True}
WALKS = {"name": "random_walk", "hops": 5, "repeats": 2, "restart": 0.2}
JOINED = {"name": "path", "join": True}
WORLDS = [(HOPS, "subgraph", False), (PAIRS, "subgraph", True), (WALKS, JOINED, False)]
IDS = ["hops", "pairs", "walks"]


def masked(**options: Any) -> Any:
    return objective.build({"name": "masked_edge", **options})


def triangle() -> Tokens:
    """User 0, its item 2, brand 5 of the item; the edge 0–2 stands in slot 2 and in `edges` too."""
    return Tokens.of(
        torch.tensor([0, 2, 5, 2, 0]),
        Kind.NODE,
        torch.tensor([0, 5]),
        type=torch.tensor([0, 1, 2, 1, 0]),
        slot=torch.tensor([0, 1, 1, 2, 2]),
        hop=torch.tensor([0, 1, 2, 1, 2]),
        parent=torch.tensor([-1, 0, 1, 0, 3]),
        relation=torch.tensor([-1, 0, 2, 0, 1]),
        time=torch.tensor([NO_TIME, 1, NO_TIME, 1, 1]),
        edges=torch.tensor([[0, 0, 1], [1, 1, 0], [1, 2, 2], [3, 2, 2], [3, 1, 4]]),
    )


def test_an_edge_goes_wherever_it_stands() -> None:
    tokens = triangle()
    assert links(tokens).tolist() == [False, True, True, True, True]
    pair = pair_of_link(tokens)
    assert pair[1] == pair[3] == pair[4] != pair[2]
    assert pair[0] == -1
    seen = without_edges(tokens, torch.tensor([False, True, False, False, False]))
    assert seen.parent.tolist() == [-1, -1, 1, -1, -1]
    assert seen.relation.tolist() == [-1, -1, 2, -1, -1]
    assert seen.time.tolist() == [NO_TIME] * 5
    assert seen.edges is not None
    assert seen.edges.tolist() == [[1, 2, 2], [3, 2, 2]]
    assert torch.equal(seen.id, tokens.id)


def test_a_relation_with_the_number_of_a_node_is_no_node() -> None:
    """User 1 is reached over relation 1, which stands before it."""
    tokens = Tokens.of(
        torch.tensor([2, 1, 1, 2]),
        torch.tensor([Kind.NODE, Kind.RELATION, Kind.NODE, Kind.NODE]),
        torch.tensor([0, 4]),
    )
    first = first_occurrence(tokens)
    assert first.tolist() == [0, 1, 2, 0]
    chosen = torch.tensor([False, False, True, False])
    assert same_nodes(first, chosen).tolist() == chosen.tolist()


def test_slots_and_the_order_that_tells_them() -> None:
    seen = without_slots(triangle())
    assert seen.slot.tolist() == [0] * 5
    assert seen.position.tolist() == [0, 1, 2, 1, 2]
    path = Tokens.of(torch.tensor([0, 2, 1]), Kind.NODE, torch.tensor([0, 3]))
    assert without_slots(path).position.tolist() == [0, 1, 2]  # no slots, nothing to tell


def linear(weights: list[list[float]], vector: list[float]) -> list[float]:
    return [sum(w * x for w, x in zip(row, vector, strict=True)) for row in weights]


A, B = [[1.0, 2.0], [0.0, 1.0]], [[1.0, 0.0], [-1.0, 1.0]]
W, C = [[1.0, 1.0], [2.0, 0.0], [0.0, -1.0], [0.5, 0.5]], [0.0, 0.1, 0.2, 0.3]


def scores(source: list[float], target: list[float]) -> list[float]:
    both = [p * q for p, q in zip(linear(A, source), linear(B, target), strict=True)]
    return [s + c for s, c in zip(linear(W, both), C, strict=True)]


def written_head(chosen: Any, toy: Any) -> Any:
    head = chosen.head(GraphSpec.of(toy), 2).double()
    with torch.no_grad():
        head.source.weight.copy_(torch.tensor(A))
        head.target.weight.copy_(torch.tensor(B))
        head.relation.weight.copy_(torch.tensor(W))
        head.relation.bias.copy_(torch.tensor(C))
    return head


ONE = [[1.0, 0.5], [0.3, -1.0], [2.0, 1.0]]
TWO = [[0.0, 1.0], [1.0, 1.0], [-1.0, 0.2]]


def test_which_relation_by_hand(hand: Any, toy: Any) -> None:
    chosen = masked(how="relation")
    at = {"token": [1, 2], "parent": [0, 1], "relation": [0, 2]}
    corrupted = TrainingExamples((), {name: torch.tensor(value) for name, value in at.items()}, 2)
    loss = chosen.loss([hand.encoded(ONE)], corrupted, None, written_head(chosen, toy))
    expected = 0.0
    for parent, token, relation in ((0, 1, 0), (1, 2, 2)):
        found = scores(ONE[parent], ONE[token])
        expected -= found[relation] - log(sum(exp(s) for s in found))
    assert loss.item() == pytest.approx(expected / 2)


@pytest.mark.parametrize("compare", ["pairwise", "bce"])
def test_whether_by_hand(hand: Any, toy: Any, compare: str) -> None:
    chosen = masked(compare=compare)
    at = {"token": [1, 2], "parent": [0, 1], "relation": [0, 2], "true": [0, 1]}
    corrupted = TrainingExamples((), {name: torch.tensor(value) for name, value in at.items()}, 2)
    encoded = [hand.encoded(ONE), hand.encoded(TWO)]
    loss = chosen.loss(encoded, corrupted, None, written_head(chosen, toy))
    expected = 0.0
    for parent, token, relation, true, false in ((0, 1, 0, ONE, TWO), (1, 2, 2, TWO, ONE)):
        right = scores(true[parent], true[token])[relation]
        wrong = scores(false[parent], false[token])[relation]
        if compare == "pairwise":
            expected += log(1 + exp(wrong - right))
        else:
            expected += (log(1 + exp(-right)) + log(1 + exp(wrong))) / 2
    assert loss.item() == pytest.approx(expected / 2)


@pytest.mark.parametrize("how", ["exists", "relation"])
def test_gradients(hand: Any, making: Any, toy: Any, how: str) -> None:
    preparation = making.prepared(toy, HOPS, "subgraph", torch.arange(2))
    config = {"name": "masked_edge", "how": how, "share": 1.0}
    assert hand.gradients_hold(config, making.examples(preparation, [0, 1]))


SWAP = torch.tensor([2, 3, 0, 1, *range(4, 12)])  # rates ↔ views and their inverses, in the shop


@pytest.mark.parametrize(("sampler", "linearizer", "pairs"), WORLDS, ids=IDS)
def test_the_view_is_one_for_both_relations(
    whole: Any, retold: Any, shop: Any, sampler: Any, linearizer: Any, pairs: bool
) -> None:
    """Everything that the hidden edges tell is changed, and nothing of it shows."""
    assert shop.schema.relation_names[:4] == ("rates", "rated_by", "views", "viewed_by")
    chosen = masked(how="relation", share=0.3)
    examples = whole(sampler, linearizer, pairs=pairs)
    tokens = examples.tokens
    first = chosen.corrupt(examples)
    hidden = torch.zeros_like(tokens.id, dtype=torch.bool)
    hidden[first.targets["token"]] = True
    pair = pair_of_link(tokens)
    touched = (pair >= 0) & torch.isin(pair, pair[hidden])
    spoken = torch.zeros_like(touched)
    spoken[:-1] = touched[1:] & (tokens.kind[:-1] == Kind.RELATION)
    edges = tokens.edges
    if edges is not None:
        node = tokens.id
        ends = {
            (int(tokens.sequence_of()[t]), *sorted((int(node[t]), int(node[tokens.parents()[t]]))))
            for t in touched.nonzero().squeeze(1).tolist()
        }
        edges = edges.clone()
        for row in edges:
            a, relation, b = row.tolist()
            if (int(tokens.sequence_of()[a]), *sorted((int(node[a]), int(node[b])))) in ends:
                row[1] = SWAP[relation]
    told = replace(
        tokens,
        id=torch.where(spoken, SWAP[tokens.id.clamp(max=11)], tokens.id),
        relation=torch.where(touched, SWAP[tokens.relation.clamp(min=0)], tokens.relation),
        time=torch.where(touched, 77, tokens.time),
        slot=torch.where(touched, 3 - tokens.slot.clamp(max=2), tokens.slot),
        edges=edges,
    )
    second = chosen.corrupt(retold(examples, told))
    assert torch.equal(first.targets["token"], second.targets["token"])
    relation = first.targets["relation"]
    assert torch.equal(second.targets["relation"], SWAP[relation])
    assert (SWAP[relation] != relation).any()
    assert same(first.views[0].tokens, second.views[0].tokens)


@pytest.mark.parametrize(("sampler", "linearizer", "pairs"), WORLDS, ids=IDS)
@pytest.mark.parametrize("how", ["exists", "relation"])
def test_no_trace_of_a_hidden_edge(
    whole: Any, sampler: Any, linearizer: Any, pairs: bool, how: str
) -> None:
    examples = whole(sampler, linearizer, pairs=pairs)
    tokens = examples.tokens
    corrupted = masked(how=how, share=0.3).corrupt(examples)
    row, node = tokens.sequence_of().tolist(), tokens.id.tolist()
    at = corrupted.targets
    hidden = {
        (row[t], frozenset((node[t], node[p])))
        for t, p in zip(at["token"].tolist(), at["parent"].tolist(), strict=True)
    }
    assert hidden
    for view in corrupted.views:
        seen = view.tokens
        before = seen.parents().tolist()
        kind = tokens.kind.tolist()
        for t, p in enumerate(before):
            if p >= 0 and kind[t] == kind[p] == Kind.NODE:
                assert (row[t], frozenset((node[t], node[p]))) not in hidden
        for a, _, b in [] if seen.edges is None else seen.edges.tolist():
            assert (row[a], frozenset((node[a], node[b]))) not in hidden
        for t in (tokens.kind == Kind.RELATION).nonzero().squeeze(1).tolist():
            ends = frozenset((node[int(tokens.parents()[t])], node[t + 1]))
            spoken = int(seen.kind[t]) == Kind.RELATION
            assert spoken == ((row[t], ends) not in hidden)
            assert spoken or int(seen.id[t]) == Special.MASK


@pytest.mark.parametrize(("sampler", "linearizer", "pairs"), WORLDS, ids=IDS)
def test_true_and_corrupted_ends_look_alike(
    whole: Any, shop: Any, sampler: Any, linearizer: Any, pairs: bool
) -> None:
    examples = whole(sampler, linearizer, pairs=pairs)
    tokens = examples.tokens
    corrupted = masked(share=0.4).corrupt(examples)
    one, other = (view.tokens for view in corrupted.views)
    assert same(replace(one, id=tokens.id), replace(other, id=tokens.id))  # but for the nodes
    at = {name: value.tolist() for name, value in corrupted.targets.items()}
    assert set(at["true"]) == {0, 1}
    for token, parent, relation, true in zip(
        at["token"], at["parent"], at["relation"], at["true"], strict=True
    ):
        name = shop.schema.relations[relation].name
        ends = [int(view.id[token]) for view in (one, other)]
        node = int(tokens.id[token])
        assert ends[true] == node
        wrong = ends[1 - true]
        assert shop.type_of(wrong) == shop.type_of(node)
        source = int(tokens.id[parent])
        assert int(one.id[parent]) == int(other.id[parent]) == source
        neighbors = shop.neighbors(source, name).tolist()
        assert node in neighbors
        assert wrong not in neighbors
        mine = tokens.select(int(tokens.sequence_of()[token]))
        assert wrong not in mine.nodes()[0].tolist()
        here = (tokens.sequence_of() == tokens.sequence_of()[token]) & (tokens.id == node)
        here &= tokens.kind == Kind.NODE
        for end, view in zip(ends, (one, other), strict=True):  # wherever the node stands
            assert (view.id[here] == end).all()


def test_the_text_of_a_changed_node_is_hidden(whole: Any, letters: Any) -> None:
    examples = whole(HOPS, {"name": "text", "tokenizer": letters, "base": "subgraph"})
    tokens = examples.tokens
    corrupted = masked(share=0.4).corrupt(examples)
    assert tokens.word is not None
    word = (tokens.sequence_of() << 32) | tokens.word
    about = (tokens.kind == Kind.TEXT) & torch.isin(word, word[corrupted.targets["token"]])
    assert about.any()
    for view in corrupted.views:
        assert (view.tokens.kind[about] == Kind.SPECIAL).all()


def test_only_the_relations_asked_for(whole: Any, shop: Any) -> None:
    chosen = masked(how="relation", relations=["rates", "made_by"], share=1.0)
    assert set(chosen.corrupt(whole(HOPS)).targets["relation"].tolist()) == {0, 4}
    with pytest.raises(GraphRecError, match="did you mean 'made_by'"):
        masked(relations=["madeby"]).check(GraphSpec.of(shop))


@pytest.mark.parametrize("compare", ["pairwise", "bce"])
def test_it_learns_who_belongs_together(fit: Any, colors: Any, compare: str) -> None:
    sampler = {"name": "k_hop", "fanout": [4, 2], "relations": ["rates", "rated_by"]}
    config = {"name": "masked_edge", "compare": compare, "share": 0.3}
    found = fit(colors, config, sampler, "subgraph", torch.arange(16), rate=2e-2)
    assert found.losses[0] == pytest.approx(log(2), rel=0.2)
    assert found.last < 0.5 * log(2)


def test_it_learns_which_relation(fit: Any, colors: Any) -> None:
    """Even users rate even items and view odd ones; by its type an edge may be either."""
    sampler = {"name": "k_hop", "fanout": [6]}
    config = {"name": "masked_edge", "how": "relation", "share": 0.3}
    even = colors.node_ids("user", range(0, 16, 2))
    found = fit(colors, config, sampler, "subgraph", even, rate=2e-2)
    assert found.losses[0] > log(2)
    assert found.last < 0.5 * log(2)

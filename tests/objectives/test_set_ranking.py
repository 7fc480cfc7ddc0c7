"""Set-wise ranking: losses by hand, negatives, attention among candidates, and the ranking."""

import math

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.core.key import Key
from graphrec_pt.data.synthetic import synthetic_graph
from graphrec_pt.graph.graph import Graph
from graphrec_pt.models.match import SetMatch
from graphrec_pt.models.model import Model
from graphrec_pt.models.view import View
from graphrec_pt.objectives.readout import Sequences
from graphrec_pt.objectives.sequence_rng import SequenceRNG
from graphrec_pt.objectives.set_losses import SetLoss
from graphrec_pt.objectives.set_negatives import category_negatives
from graphrec_pt.objectives.set_ranking import SetRanking
from graphrec_pt.tokens.candidates import candidate_order, with_candidates
from graphrec_pt.tokens.kind import Kind
from graphrec_pt.tokens.tokens import Tokens

SCORES = torch.tensor([[1.0, -0.5, 9.0, 0.5], [0.2, 1.5, -1.0, 0.0]])
RIGHT = torch.tensor([0, 1])
THERE = torch.tensor([[True, True, False, True], [True, True, True, True]])


def sigma(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def by_hand(form: str, row: list[float], right: int) -> float:
    good, others = row[right], [s for n, s in enumerate(row) if n != right]
    if form == "softmax":
        return -math.log(math.exp(good / 2) / sum(math.exp(s / 2) for s in row))
    if form == "bce":
        return -(math.log(sigma(good)) + sum(math.log(sigma(-s)) for s in others)) / len(row)
    if form == "focal":
        total = 0.25 * (1 - sigma(good)) ** 2 * math.log(sigma(good))
        total += sum(0.75 * sigma(s) ** 2 * math.log(1 - sigma(s)) for s in others)
        return -total / len(row)
    gaps = [max(0.0, 1.5 + s - good) for s in others]
    return sum(gaps) / len(gaps) + max(gaps)


@pytest.mark.parametrize("form", ["softmax", "bce", "focal", "hinge"])
def test_losses_by_hand(form: str) -> None:
    loss = SetLoss.model_validate({"form": form, "temperature": 2, "alpha": 0.25, "margin": 1.5})
    rows = [[1.0, -0.5, 0.5], [0.2, 1.5, -1.0, 0.0]]  # without what is not there
    expected = sum(by_hand(form, row, right) for row, right in zip(rows, (0, 1), strict=True))
    assert float(loss.of(SCORES, RIGHT, THERE)) == pytest.approx(expected, rel=1e-5)
    order = torch.tensor([2, 0, 3, 1])
    moved = torch.tensor([order.tolist().index(int(right)) for right in RIGHT])
    assert float(loss.of(SCORES[:, order], moved, THERE[:, order])) == pytest.approx(
        expected, rel=1e-5
    )
    assert float(loss.of(SCORES[:0], RIGHT[:0], THERE[:0])) == 0
    with pytest.raises(GraphRecError, match="scores"):
        loss.of(SCORES, RIGHT, THERE[:, :2])


@pytest.fixture(scope="module")
def graph() -> Graph:
    return synthetic_graph(30, 24, 300, clusters=3, key=Key(4))


@pytest.fixture(scope="module")
def model(graph: Graph) -> Model:
    backbone = {"name": "graph_transformer", "width": 16, "layers": 2, "heads": 2, "mode": "causal"}
    return Model.of(graph, features={"by_type": {"*": ["id"]}}, backbone=backbone, seed=1).eval()


def contexts(graph: Graph) -> Tokens:
    items = graph.nodes("item")
    id = torch.tensor([0, 3, 5, 7, 2]) + items.start
    kind = graph.schema.node_index("item")
    return Tokens.of(id, Kind.NODE, torch.tensor([0, 2, 5]), type=torch.full_like(id, kind))


def states(
    model: Model, graph: Graph, nodes: Tensor, causal: bool
) -> tuple[Tensor, Tensor, Tensor]:
    kind = graph.schema.node_index("item")
    tokens, at = with_candidates(contexts(graph), nodes, kind)
    order = candidate_order(tokens, at, causal=causal)
    with torch.no_grad():
        hidden = model.encode(View(tokens, "permuted", order=order)).hidden
    context = torch.ones(len(hidden), dtype=torch.bool)
    context[at.flatten()] = False
    return hidden[at], hidden[context], tokens.position[at]


@pytest.mark.parametrize("causal", [True, False])
def test_candidates_are_a_set_that_the_context_does_not_see(
    graph: Graph, model: Model, causal: bool
) -> None:
    nodes = torch.tensor([[9, 10, 11], [12, 13, 14]]) + graph.nodes("item").start
    found, context, position = states(model, graph, nodes, causal)
    assert position.tolist() == [[2, 2, 2], [3, 3, 3]]
    turned, same_context, _ = states(model, graph, nodes[:, [2, 0, 1]], causal)
    torch.testing.assert_close(turned, found[:, [2, 0, 1]], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(same_context, context, atol=1e-5, rtol=1e-5)
    other = nodes.clone()
    other[:, 2] += 6
    changed, untouched, _ = states(model, graph, other, causal)
    torch.testing.assert_close(untouched, context, atol=1e-5, rtol=1e-5)
    assert (changed[:, :2] - found[:, :2]).abs().max() > 1e-4  # candidates see one another
    with torch.no_grad():
        mode = "causal" if causal else "bidirectional"
        alone = model.encode(View(contexts(graph), mode)).hidden
    torch.testing.assert_close(context, alone, atol=1e-5, rtol=1e-5)


def test_the_best_of_the_first_ranking_take_the_order_of_the_set(
    graph: Graph, model: Model
) -> None:
    objective = SetRanking(match="set", causal=True, rerank=5)
    head, tokens = SetMatch(16).requires_grad_(False), contexts(graph)
    relation, source = graph.schema.relation("rates"), torch.tensor([0, 1])
    with torch.no_grad():
        encoded = model.encode(View(tokens))
        given = Sequences(encoded, tokens, source, graph, relation, model, head)
        scores = objective.readout().scores(given)
        first = encoded.pooled("last") @ model.table("item").T
    start = graph.nodes("item").start
    for row in range(2):
        best = first[row].topk(5).indices
        ranked = scores[row].argsort(descending=True)
        assert set(ranked[:5].tolist()) == set(best.tolist())
        rest = [
            n for n in first[row].argsort(descending=True).tolist() if n not in set(best.tolist())
        ]
        assert ranked[5:].tolist() == rest
        inside, _, _ = states(model, graph, (best + start).repeat(2, 1), True)
        with torch.no_grad():
            logits = head.of_states(inside)[row]
        assert ranked[:5].tolist() == best[logits.argsort(descending=True)].tolist()


def test_negatives_of_the_category(graph: Graph) -> None:
    relation = graph.schema.relation("rates")
    edges, category = graph.edges("rates"), graph.edges("has_category")
    of = dict(zip(category.source.tolist(), category.target.tolist(), strict=True))
    source, positive = edges.source[:40], edges.target[:40]
    draws = SequenceRNG.of(Key(2), torch.arange(40), torch.arange(40))
    drawn = category_negatives(graph, relation, source, "has_category", positive, draws, 6)
    true = set(zip(edges.source.tolist(), edges.target.tolist(), strict=True))
    same, possible = 0, 0
    for user, item, row in zip(source.tolist(), positive.tolist(), drawn.tolist(), strict=True):
        assert all((user, each) not in true and each != item for each in row)
        fitting = {n for n in of if of[n] == of[item] and (user, n) not in true}
        if fitting:
            possible += len(row)
            same += sum(each in fitting for each in row)
    assert possible >= 60
    assert same / possible > 0.7
    few = draws.select(torch.tensor([3, 7]))
    rows = torch.tensor([3, 7])
    again = category_negatives(
        graph, relation, source[rows], "has_category", positive[rows], few, 6
    )
    assert torch.equal(again, drawn[rows])


def test_options_that_do_not_fit(graph: Graph, model: Model) -> None:
    with pytest.raises(ValidationError, match="drawn candidates"):
        SetRanking(match="set", draw="batch")
    with pytest.raises(GraphRecError, match="category"):
        SetRanking(draw="category").check(model.spec)
    with pytest.raises(GraphRecError, match="leaves the candidates"):
        SetRanking(match="cross_modal", images="rates").check(model.spec)

"""Set-wise ranking: the set takes over the best of the first ranking."""

import pytest
import torch
from torch import Tensor

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.core.key import Key
from graphrec_pt.data.synthetic import synthetic_graph
from graphrec_pt.graph.graph import Graph
from graphrec_pt.models.match import SetMatch
from graphrec_pt.models.model import Model
from graphrec_pt.models.view import View
from graphrec_pt.objectives.objective import objective
from graphrec_pt.objectives.readout import CatalogueReadout, Sequences
from graphrec_pt.tokens.candidates import candidate_order, with_candidates
from graphrec_pt.tokens.kind import Kind
from graphrec_pt.tokens.tokens import Tokens

CONFIG = {"name": "set_ranking"}


@pytest.fixture(scope="module")
def graph() -> Graph:
    return synthetic_graph(30, 24, 300, clusters=3, key=Key(4))


@pytest.fixture(scope="module")
def model(graph: Graph) -> Model:
    backbone = {"name": "graph_transformer", "width": 16, "layers": 2, "heads": 2, "mode": "causal"}
    return Model.of(graph, backbone=backbone, seed=1).eval()


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


def test_the_best_of_the_first_ranking_take_the_order_of_the_set(
    graph: Graph, model: Model
) -> None:
    ranking = objective.build({**CONFIG, "match": "set", "causal": True, "rerank": 5})
    head, tokens = SetMatch(16).requires_grad_(False), contexts(graph)
    relation, source = graph.schema.relation("rates"), torch.tensor([0, 1])
    with torch.no_grad():
        encoded = model.encode(View(tokens))
        given = Sequences(encoded, tokens, source, graph, relation, model, head)
        readout = ranking.readout()
        assert isinstance(readout, CatalogueReadout)
        scores = readout.scores(given)
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


def test_options_that_do_not_fit(graph: Graph, model: Model) -> None:
    with pytest.raises(GraphRecError, match="drawn candidates"):
        objective.build({**CONFIG, "match": "set", "draw": "batch"})
    with pytest.raises(GraphRecError, match="category"):
        objective.build({**CONFIG, "draw": "category"}).check(model.spec)
    with pytest.raises(GraphRecError, match="leaves the candidates"):
        objective.build({**CONFIG, "match": "cross_modal", "images": "rates"}).check(model.spec)

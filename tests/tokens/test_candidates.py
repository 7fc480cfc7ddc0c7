"""Candidates behind a context are a set: no order, and the context does not see them."""

import pytest
import torch
from torch import Tensor

from graphrec_pt.core.key import Key
from graphrec_pt.data.synthetic import synthetic_graph
from graphrec_pt.graph.graph import Graph
from graphrec_pt.models.model import Model
from graphrec_pt.models.view import View
from graphrec_pt.tokens.candidates import candidate_order, with_candidates
from graphrec_pt.tokens.kind import Kind
from graphrec_pt.tokens.tokens import Tokens


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
        alone = model.encode(View(contexts(graph), "causal" if causal else "bidirectional")).hidden
    torch.testing.assert_close(context, alone, atol=1e-5, rtol=1e-5)

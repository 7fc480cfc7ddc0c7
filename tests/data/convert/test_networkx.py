import networkx
import pytest
import torch

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.data.convert import to_networkx
from graphrec_pt.graph.graph import Graph
from graphrec_pt.graph.split import keep_edges


def test_nodes_and_edges_by_hand(toy_graph: Graph) -> None:
    made = to_networkx(toy_graph)
    assert made.number_of_nodes() == 10
    assert made.number_of_edges() == 12  # forward edges only
    assert made.nodes[3] == {
        "type": "item",
        "id": "pen",
        "title": "A pen",
        "look": [0.0, 1.0],
    }
    assert made.nodes[5]["title"] == "cup"
    assert made.nodes[1]["age"] is None
    ink = made.get_edge_data(0, 4)
    assert [ink[key]["time"] for key in sorted(ink)] == [30, 40]
    assert ink["rates", 2] == {"relation": "rates", "time": 40, "weight": 3.0, "device": "web"}
    assert made.get_edge_data(3, 7) == {("made_by", 6): {"relation": "made_by"}}


def test_degrees_agree(toy_graph: Graph) -> None:
    made = to_networkx(toy_graph, inverses=True)
    assert made.number_of_edges() == toy_graph.num_edges()
    assert [made.out_degree(n) for n in range(10)] == [
        len(toy_graph.neighbors(n)) for n in range(10)
    ]
    for relation in toy_graph.schema.relation_names:
        kept = [e for e in made.edges(keys=True) if e[2][0] == relation]
        degree = networkx.MultiDiGraph(kept).out_degree()
        source = toy_graph.schema.relation(relation).source
        for node, wanted in zip(
            toy_graph.nodes(source), toy_graph.degree(relation).tolist(), strict=True
        ):
            assert (degree[node] if node in dict(degree) else 0) == wanted


def test_inverse_edges_carry_the_same_columns(toy_graph: Graph) -> None:
    made = to_networkx(toy_graph, inverses=True)
    for source, target, (name, edge), there in made.edges(keys=True, data=True):
        inverse = toy_graph.schema.relation(name).inverse
        if inverse is not None:
            back = made.get_edge_data(target, source, (inverse, edge))
            assert {**back, "relation": name} == there


def test_a_part_is_the_induced_subgraph(toy_graph: Graph) -> None:
    kept = [0, 3, 4, 7]
    part, whole = to_networkx(toy_graph, iter(kept)), to_networkx(toy_graph)
    assert set(part.nodes) == set(kept)
    assert set(part.edges(keys=True)) == set(whole.subgraph(kept).edges(keys=True))
    with pytest.raises(GraphRecError, match="node below 10"):
        to_networkx(toy_graph, [0, 10])


def test_a_part_of_the_edges_keeps_their_columns(toy_graph: Graph) -> None:
    made = to_networkx(keep_edges(toy_graph, torch.arange(12) >= 3), inverses=True)
    assert made.get_edge_data(1, 3, ("rates", 3))["device"] == "tv"
    assert made.get_edge_data(6, 1, ("rated_by", 5))["device"] == "web"
    assert made.number_of_edges() == 3 + 3 + 3 + 3 + 3

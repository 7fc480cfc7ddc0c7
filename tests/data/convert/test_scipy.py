import numpy as np
import pytest

from graphrec_pt.data.convert import to_scipy
from graphrec_pt.graph.graph import Graph


def naive(graph: Graph, relation: str, *, weights: bool) -> np.ndarray:
    found, edges = graph.schema.relation(relation), graph.edges(relation)
    dense = np.zeros((graph.num_nodes(found.source), graph.num_nodes(found.target)), np.float32)
    for row, (source, target) in enumerate(
        zip(edges.source.tolist(), edges.target.tolist(), strict=True)
    ):
        value = float(edges.weight[row]) if weights and edges.weight is not None else 1.0
        at = source - graph.nodes(found.source).start, target - graph.nodes(found.target).start
        dense[at] += value
    return dense


@pytest.mark.parametrize("weights", [False, True])
@pytest.mark.parametrize("relation", ["rates", "rated_by", "made_by", "makes", "follows"])
def test_matrix_is_the_naive_one(toy_graph: Graph, relation: str, weights: bool) -> None:
    matrix = to_scipy(toy_graph, relation, weights=weights)
    assert np.array_equal(matrix.toarray(), naive(toy_graph, relation, weights=weights))
    assert matrix.dtype == np.float32
    assert matrix.has_canonical_format


def test_parallel_edges_by_hand(toy_graph: Graph) -> None:
    assert to_scipy(toy_graph, "rates")[0, 1] == 8  # 5 at time 30 and 3 at time 40
    assert to_scipy(toy_graph, "rates", weights=False)[0, 1] == 2


def test_the_inverse_is_the_transpose(toy_graph: Graph) -> None:
    there, back = to_scipy(toy_graph, "rates"), to_scipy(toy_graph, "rated_by")
    assert (back != there.T).nnz == 0


def test_the_graph_is_not_changed(toy_graph: Graph) -> None:
    before = toy_graph.csr.indices.clone()
    to_scipy(toy_graph, "rates")
    assert bool((toy_graph.csr.indices == before).all())

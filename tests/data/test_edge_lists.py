import networkx as nx
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from graphrec_pt.data.edge_lists import k_core

EDGES = st.lists(st.tuples(st.integers(0, 7), st.integers(0, 5)), max_size=40, unique=True)


@given(EDGES, st.integers(0, 4))
def test_equals_networkx_where_both_sides_need_the_same(
    edges: list[tuple[int, int]], k: int
) -> None:
    source, target = np.array([e[0] for e in edges], int), np.array([e[1] for e in edges], int)
    keep_source, keep_target = k_core(source, target, (8, 6), (k, k))
    whole = nx.Graph()
    whole.add_nodes_from([("s", n) for n in range(8)] + [("t", n) for n in range(6)])
    whole.add_edges_from((("s", s), ("t", t)) for s, t in edges)
    core = nx.k_core(whole, k)
    assert [n for n in range(8) if ("s", n) in core] == np.flatnonzero(keep_source).tolist()
    assert [n for n in range(6) if ("t", n) in core] == np.flatnonzero(keep_target).tolist()


def test_sides_may_need_different_numbers() -> None:
    source, target = np.array([0, 0, 1]), np.array([0, 1, 0])
    keep_source, keep_target = k_core(source, target, (2, 2), (1, 2))
    assert keep_source.tolist() == [True, True]
    assert keep_target.tolist() == [True, False]

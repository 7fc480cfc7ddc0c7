"""Personalised PageRank against networkx."""

from collections import Counter
from typing import Any

import networkx as nx
import numpy as np
import pytest
import torch

from graphrec_pt.core.key import Key
from graphrec_pt.graph.graph import Graph
from graphrec_pt.sampling.sample import Subgraphs
from graphrec_pt.sampling.sampler import sampler

KEY = Key(4)


def sample(graph: Graph, config: dict[str, Any], *given: Any) -> Subgraphs:
    found = sampler.build(config).sample(graph, *given)
    assert isinstance(found, Subgraphs)
    return found


def digraph(graph: Graph) -> "nx.DiGraph[int]":
    found: nx.DiGraph[int] = nx.DiGraph()
    found.add_nodes_from(range(graph.num_nodes()))
    for u in range(graph.num_nodes()):
        for v, many in Counter(graph.neighbors(u).tolist()).items():
            found.add_edge(u, v, weight=many)
    return found


def test_ppr_ranks_like_networkx(train: Graph) -> None:
    config = {"name": "ppr", "size": 6, "epsilon": 1e-9}
    found = sample(train, config, torch.arange(11), KEY)
    directed = digraph(train)
    dead = [node for node, degree in directed.out_degree() if not degree]
    directed.add_edges_from((node, node) for node in dead)  # a walk that comes here ends here
    for root in range(11):
        exact = nx.pagerank(directed, 0.85, {root: 1}, max_iter=500, tol=1e-13)
        mine = found.select(root)
        score = dict(zip(mine.node.tolist(), mine.score.tolist(), strict=True))
        others = sorted((p for node, p in exact.items() if node != root), reverse=True)[:6]
        assert sorted(mine.score.tolist()[1:], reverse=True) == mine.score.tolist()[1:]
        np.testing.assert_allclose(mine.score[1:], others, rtol=1e-4)
        assert score[root] == pytest.approx(exact[root], rel=1e-4)


def test_ppr_parents_are_shortest_ways(train: Graph) -> None:
    found = sample(train, {"name": "ppr", "size": 12, "edges": True}, torch.arange(24), KEY)
    for root in range(24):
        mine = found.select(root)
        assert mine.edges is not None
        inside = nx.DiGraph()
        inside.add_nodes_from(range(len(mine.node)))
        inside.add_edges_from(mine.edges[:, [0, 2]].tolist())
        hops = nx.single_source_shortest_path_length(inside, 0)
        assert mine.hop.tolist() == [hops.get(at, -1) for at in range(len(mine.node))]
        for at, parent in enumerate(mine.parent.tolist()):
            if parent >= 0:
                nearer = [p for p in inside.predecessors(at) if hops.get(p) == hops[at] - 1]
                assert parent == min(nearer)

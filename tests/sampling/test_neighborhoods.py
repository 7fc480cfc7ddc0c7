"""Samplers of neighbourhoods against plain Python and networkx."""

from collections import Counter
from itertools import product
from typing import Any

import networkx as nx
import pytest
import torch

from graphrec_pt.core.errors import ConfigErrors, GraphRecError
from graphrec_pt.core.key import Key
from graphrec_pt.graph.graph import Graph
from graphrec_pt.sampling.neighborhoods import fan_out
from graphrec_pt.sampling.sample import Subgraphs
from graphrec_pt.sampling.sampler import Sets, sampler
from graphrec_pt.sampling.tree_batch import plant

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


def test_k_hop_takes_everything_when_it_may(train: Graph) -> None:
    found = sample(train, {"name": "k_hop", "fanout": [99, 99]}, torch.arange(53), KEY)
    lengths = dict(nx.all_pairs_shortest_path_length(digraph(train), cutoff=2))
    for root in range(53):
        mine = found.select(root)
        reached = dict(zip(mine.node.tolist(), mine.hop.tolist(), strict=True))
        assert len(reached) == len(mine.node)
        assert reached == lengths[root]


def test_k_hop_fan_out_per_relation(train: Graph) -> None:
    config = {
        "name": "k_hop",
        "fanout": [2, 1],
        "relations": ["rates", "views", "rated_by", "tagged"],
        "distinct": False,
    }
    found = sample(train, config, torch.arange(11), KEY)
    names = train.schema.relation_names
    for root in range(11):
        mine = found.select(root)
        for parent, hop in ((0, 1), *((at, 2) for at in range(1, len(mine.node)))):
            below = mine.relation[(mine.parent == parent) & (mine.hop == hop)].tolist()
            node = int(mine.node[parent])
            for name, many in Counter(names[r] for r in below).items():
                assert name in config["relations"]
                assert many == min((2, 1)[hop - 1], len(train.neighbors(node, name)))


def test_k_hop_edges_are_all_between_the_nodes(train: Graph) -> None:
    found = sample(train, {"name": "k_hop", "fanout": [3], "edges": True}, torch.arange(24), KEY)
    assert found.edges is not None
    for root in range(24):
        mine = found.select(root)
        node = mine.node.tolist()
        expected = []
        for (s, u), (t, v) in product(enumerate(node), repeat=2):
            for r, relation in enumerate(train.schema.relations):
                if relation.source == train.type_of(u):
                    many = train.neighbors(u, relation.name).tolist().count(v)
                    expected += [(s, r, t)] * many
        assert mine.edges is not None
        assert sorted(map(tuple, mine.edges.tolist())) == sorted(expected)


def test_mcn_scores_are_frequencies(train: Graph) -> None:
    fanout, size = [6, 3, 2], 5
    found = sample(train, {"name": "mcn", "fanout": fanout, "size": size}, torch.arange(24), KEY)
    forest = plant(torch.arange(24))
    for many in fanout:
        forest = fan_out(train, forest, many, KEY.named("mcn"), replace=True, weighted=True)
    cut = 0
    for root in range(24):
        met = forest.row == root
        score: Counter[int] = Counter()
        first: dict[int, int] = {}
        for node, hop in zip(forest.node[met].tolist(), forest.hop[met].tolist(), strict=True):
            if node != root:
                score[node] += 3 - hop + 1
                first.setdefault(node, hop)
        ranked = sorted(score, key=lambda n: (-score[n], first[n], n))[:size]
        cut += len(score) > size
        mine = found.select(root)
        assert mine.node.tolist() == [root, *ranked]
        assert mine.score.tolist() == [0, *(score[n] for n in ranked)]
        assert mine.hop.tolist() == [0, *(first[n] for n in ranked)]
    assert cut > 10


def test_ego_is_the_union_of_neighbourhoods(train: Graph) -> None:
    sets = Sets.of([[12, 15], [15], [12, 12, 40], []])
    found = sample(train, {"name": "ego", "fanout": [99]}, sets, KEY)
    for at, entities in enumerate(([12, 15], [15], [12, 40], [])):
        around = {n for e in entities for n in train.neighbors(e).tolist()}
        mine = found.select(at)
        assert mine.node.tolist()[: len(entities)] == entities
        assert set(mine.node.tolist()) == set(entities) | around
        assert len(set(mine.node.tolist())) == len(mine.node)
    with pytest.raises(GraphRecError, match=r"Sets, got Tensor; try Sets.of"):
        sample(train, {"name": "ego"}, torch.tensor([1]), KEY)


def test_set_of(train: Graph) -> None:
    baskets = torch.arange(47, 53)
    every = sample(train, {"name": "set_of", "relations": ["holds"]}, baskets, KEY)
    most = sample(train, {"name": "set_of", "relations": ["holds"], "most": 2}, baskets, KEY)
    for at, basket in enumerate(baskets.tolist()):
        members = sorted(set(train.neighbors(basket).tolist()))
        assert every.select(at).node.tolist() == [basket, *members]
        few = most.select(at).node.tolist()[1:]
        assert few == sorted(few)
        assert set(few) <= set(members)
        assert 1 <= len(few) <= 2 or not members
    users = torch.arange(12)
    both = sample(train, {"name": "set_of", "relations": ["views", "rates"]}, users, KEY)
    for user in users.tolist():
        mine = both.select(user)
        for node, slot in zip(mine.node.tolist(), mine.slot.tolist(), strict=True):
            name = (None, "views", "rates")[slot]
            assert name is None or node in train.neighbors(user, name).tolist()


def test_tree(train: Graph) -> None:
    # codes 38 … 46: 0, 1 → 4; 2, 3 → 5; 4, 5 → 6
    found = sample(train, {"name": "tree", "relations": ["is_a"]}, torch.arange(38, 47), KEY)
    above = [[4, 6], [4, 6], [5, 6], [5, 6], [6], [6], [], [], []]
    for at, parents in enumerate(above):
        mine = found.select(at)
        assert mine.node.tolist() == [38 + at, *(38 + p for p in parents)]
        assert mine.parent.tolist() == list(range(-1, len(parents)))
    shallow = {"name": "tree", "relations": ["is_a"], "depth": 1}
    assert sample(train, shallow, torch.tensor([38]), KEY).node.tolist() == [38, 42]


@pytest.mark.parametrize(
    "config",
    [
        {"name": "k_hop", "fanout": [2, 0]},
        {"name": "mcn", "fanout": [-1]},
        {"name": "ego", "fanout": []},
        {"name": "ppr", "alpha": 1.0},
        {"name": "history", "window": 0},
        {"name": "set_of", "most": 0},
        {"name": "node2vec", "p": 0},
        {"name": "random_walk", "hops": 0, "repeats": 0},
        {"name": "tree", "relations": []},
        {"name": "user_item_paths", "hops": 1},
    ],
    ids=lambda config: config["name"],
)
def test_options_out_of_range(config: dict[str, Any]) -> None:
    with pytest.raises(GraphRecError) as caught:
        sampler.build(config)
    option = next(name for name in config if name != "name")
    assert option in str(caught.value)
    if "repeats" in config:
        assert isinstance(caught.value, ConfigErrors)
        assert len(caught.value.errors) == 2

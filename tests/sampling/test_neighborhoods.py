"""Samplers of neighbourhoods against plain Python and networkx."""

from collections import Counter
from itertools import product
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
import pytest
import torch

from graphrec_pt.core.errors import ConfigErrors, GraphRecError
from graphrec_pt.core.key import Key
from graphrec_pt.graph.graph import Graph
from graphrec_pt.sampling.neighborhoods import fan_out
from graphrec_pt.sampling.sample import Subgraphs, same
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


def test_dialogue(train: Graph) -> None:
    turns = torch.arange(28, 38)
    found = sample(train, {"name": "dialogue", "turns": 2}, turns, KEY)
    own = sample(train, {"name": "dialogue", "turns": 2, "own": True}, turns, KEY)
    before = {0: [], 1: [0], 2: [1, 0], 3: [2, 1], 4: [], 5: [4], 6: [5, 4], 7: [6, 5]}
    for turn in range(10):
        expected, slots = [], []
        for back, other in enumerate(before.get(turn, []), 1):
            said = [28 + other, *train.neighbors(28 + other, "mentions").tolist()]
            expected += said
            slots += [back] * len(said)
        mine = found.select(turn)
        assert mine.node.tolist() == [28 + turn, *expected]
        assert mine.slot.tolist() == [0, *slots]
        named = train.neighbors(28 + turn, "mentions").tolist()
        assert own.select(turn).node.tolist() == [28 + turn, *named, *expected]
    with pytest.raises(GraphRecError, match="leaves 'turn' at hop 1"):
        sample(train, {"name": "dialogue", "mentions": ["rates"]}, turns, KEY)
    with pytest.raises(GraphRecError, match="leaves 'item' at hop 2"):
        sample(train, {"name": "dialogue", "previous": "mentions"}, turns, KEY)


METAPATHS = [["rates", "rated_by", "rates"], ["rates", "made_by", "makes"]]


def instances(graph: Graph, user: int, item: int, names: list[str]) -> dict[tuple[int, ...], float]:
    """Return every simple instance with its mean of 1 / √(degree · degree)."""
    found: dict[tuple[int, ...], float] = {(user,): 0.0}
    for name in names:
        longer = {}
        for path, total in found.items():
            if graph.type_of(path[-1]) == graph.schema.relation(name).source:
                for node in set(graph.neighbors(path[-1], name).tolist()) - set(path):
                    ends = len(graph.neighbors(path[-1])), len(graph.neighbors(node))
                    longer[(*path, node)] = total + (ends[0] * ends[1]) ** -0.5
        found = longer
    return {p: t / len(names) for p, t in found.items() if p[-1] == item and item not in p[:-1]}


def test_path_subgraph(train: Graph) -> None:
    pairs = torch.tensor([(u, i) for u in range(11) for i in range(12, 23)])
    config = {"name": "path_subgraph", "metapaths": METAPATHS, "top": 3, "cap": 99, "edges": True}
    found = sample(train, config, pairs, KEY)
    filled = 0
    for at, (user, item) in enumerate(pairs.tolist()):
        mine = found.select(at)
        assert mine.node.tolist()[:2] == [user, item]
        for slot, names in enumerate(METAPATHS, 1):
            every = instances(train, user, item, names)
            best = sorted(every.items(), key=lambda e: (-np.float32(e[1]), e[0]))[:3]
            inner = mine.slot == slot
            for hop in (1, 2):
                got = mine.node[inner & (mine.hop == hop)].tolist()
                if len({round(score, 6) for _, score in every.items()}) == len(every):
                    assert got == list(dict.fromkeys(path[hop] for path, _ in best))
                assert len(set(got)) == len(got)
                filled += len(got)
        assert mine.edges is not None
        assert not {(0, 1), (1, 0)} & {(s, t) for s, _, t in mine.edges.tolist()}
    assert filled > 100


def test_path_subgraph_ranks_by_vectors(train: Graph, tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    np.save(tmp_path / "v.npy", draw.normal(size=(53, 4)).astype(np.float32))
    pairs = torch.tensor([(u, i) for u in range(11) for i in range(12, 23)])
    config = {"name": "path_subgraph", "metapaths": METAPATHS, "top": 1}
    near = sample(train, {**config, "vectors": str(tmp_path / "v.npy")}, pairs, KEY)
    assert not same(near, sample(train, config, pairs, KEY))
    with pytest.raises(GraphRecError, match=r"a \.npy file"):
        sample(train, {**config, "vectors": str(tmp_path / "none.npy")}, pairs, KEY)


@pytest.mark.parametrize(
    ("metapaths", "message"),
    [
        ([["rates"]], "2 to 4 hops, got rates"),
        ([["rates", "makes"]], "leaves 'item' at hop 2"),
        ([METAPATHS[0], ["rates", "made_by"]], "from 'user' to 'item'.*got rates made_by"),
        ([["mentions", "mentioned_in", "follows"]], "an inverse, to come back.*'follows'"),
    ],
)
def test_path_subgraph_checks_metapaths(
    train: Graph, metapaths: list[list[str]], message: str
) -> None:
    with pytest.raises(GraphRecError, match=message):
        sample(train, {"name": "path_subgraph", "metapaths": metapaths}, torch.zeros(0, 2), KEY)


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

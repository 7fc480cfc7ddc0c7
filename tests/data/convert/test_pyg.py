from collections import Counter

import numpy as np
import pytest
import torch

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.data.convert import from_pyg, to_pyg
from graphrec_pt.graph.graph import Graph
from graphrec_pt.graph.subset import keep_edges

hetero = pytest.importorskip("torch_geometric.data").HeteroData


def rows(graph: Graph, relation: str) -> Counter[tuple[object, ...]]:
    """Edges by raw id, so that graphs with other numbers compare."""
    edges = graph.edges(relation)
    columns: list[list[object]] = [
        [graph.raw_id(n) for n in edges.source.tolist()],
        [graph.raw_id(n) for n in edges.target.tolist()],
    ]
    columns += [c.tolist() for c in (edges.time, edges.weight) if c is not None]
    return Counter(zip(*columns, strict=True))


def test_edge_index_is_the_edge_list(toy_graph: Graph) -> None:
    data = to_pyg(toy_graph)
    store = data["user", "rates", "item"]
    assert store.edge_index.tolist() == [[0, 0, 0, 1, 1, 1], [0, 1, 1, 0, 1, 3]]
    assert store.time.tolist() == [10, 30, 40, 20, 20, 50]
    assert store.edge_weight.tolist() == [4, 5, 3, 1, 2, 5]
    assert store.device.tolist() == ["app", "web", "web", "tv", "app", "web"]
    back = data["item", "rated_by", "user"]
    assert store.edge_id[back.edge_id].tolist() == back.edge_id.tolist()
    assert set(data.edge_types) == {
        (r.source, r.name, r.target) for r in toy_graph.schema.relations
    }
    del data["tag"]  # PyG warns of node types without edges
    assert data.validate()


def test_columns_become_attributes(toy_graph: Graph) -> None:
    data = to_pyg(toy_graph)
    assert data["user"].id.tolist() == ["ann", "bob", "cat"]
    assert data["user"].age.isnan().tolist() == [False, True, False]
    assert data["user"].club.tolist() == [0, 1, -1]
    assert data.categories == {"user": {"club": ["x", "y"]}}
    assert data["item"].look.shape == (4, 2)
    assert data["item"].title.tolist() == ["A pen", "Ink", None, "Mug, large"]
    assert data["tag"].num_nodes == 1


def test_pyg_can_cut_the_result(toy_graph: Graph) -> None:
    part = to_pyg(toy_graph).subgraph({"user": torch.tensor([1, 2]), "item": torch.tensor([0, 3])})
    assert part["user"].id.tolist() == ["bob", "cat"]
    assert part["user", "rates", "item"].edge_index.tolist() == [[0, 0], [0, 1]]
    assert part["user", "rates", "item"].time.tolist() == [20, 50]


def test_round_trip(toy_graph: Graph) -> None:
    back = from_pyg(to_pyg(toy_graph), interactions=["rates"])
    assert back.schema.relation("rates") == toy_graph.schema.relation("rates")
    for name in toy_graph.schema.relation_names:
        assert rows(back, name) == rows(toy_graph, name)
    for name in toy_graph.schema.node_names:
        mine, theirs = toy_graph.tables[name], back.tables[name]
        assert theirs.select(mine.columns).equals(mine)
    assert back.edge_tables["rates"].equals(toy_graph.edge_tables["rates"])
    assert back.schema.node("item").title == "title"
    assert {r.name: (r.inverse, r.backward) for r in back.schema.relations} == {
        r.name: (r.inverse, r.backward) for r in toy_graph.schema.relations
    }
    assert back.fingerprint
    assert back.provenance == {"from": "torch_geometric"}


def random_data(seed: int) -> object:
    rng = np.random.default_rng(seed)
    data = hetero()
    data["u"].num_nodes, data["i"].num_nodes = 20, 30
    ends = torch.from_numpy(np.stack([rng.integers(0, 20, 90), rng.integers(0, 30, 90)]))
    data["u", "to", "i"].edge_index = ends
    data["u", "to", "i"].time = torch.from_numpy(rng.integers(0, 9, 90))
    shuffle = torch.from_numpy(rng.permutation(90))
    data["i", "seen", "u"].edge_index = ends.flip(0)[:, shuffle]
    data["i", "seen", "u"].time = data["u", "to", "i"].time[shuffle]
    data["i", "to", "i"].edge_index = torch.from_numpy(rng.integers(0, 30, (2, 40)))
    return data


@pytest.mark.parametrize("seed", range(5))
def test_foreign_data_keep_their_edge_sets(seed: int) -> None:
    data = random_data(seed)
    graph = from_pyg(data)
    for kind, name in ((("u", "to", "i"), "u_to_i"), (("i", "to", "i"), "i_to_i")):
        edges, relation = graph.edges(name), graph.schema.relation(name)
        pairs = zip(
            (edges.source - graph.nodes(relation.source).start).tolist(),
            (edges.target - graph.nodes(relation.target).start).tolist(),
            strict=True,
        )
        assert Counter(pairs) == Counter(map(tuple, data[kind].edge_index.T.tolist()))  # type: ignore[index]
    # the mirrored pair was found by its content, whatever its name
    assert graph.schema.relation("u_to_i").inverse == "seen"
    assert graph.schema.relation("i_to_i").inverse is None


def test_what_only_looks_like_an_inverse_is_not_one() -> None:
    data = random_data(0)
    data["i", "seen", "u"].time[0] += 1  # type: ignore[index]
    graph = from_pyg(data)
    assert graph.schema.relation("u_to_i").inverse is None
    assert graph.schema.relation("seen").inverse is None


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda d: d["u", "to", "i"].edge_index.fill_(25), "u numbers below 20, got 25 to 25"),
        (
            lambda d: setattr(d["u", "to", "i"], "time", d["u", "to", "i"].time + 0.5),
            "expected integers",
        ),
    ],
)
def test_bad_data_are_told(spoil, message: str) -> None:  # type: ignore[no-untyped-def]
    data = random_data(0)
    spoil(data)
    with pytest.raises(GraphRecError, match=message):
        from_pyg(data)


def test_an_unknown_interaction_is_told() -> None:
    with pytest.raises(GraphRecError, match="did you mean 'u_to_i'"):
        from_pyg(random_data(0), interactions=["u_to"])


def test_a_graph_without_edges() -> None:
    data = hetero()
    data["a"].num_nodes = 3
    graph = from_pyg(data)
    assert (graph.num_nodes("a"), graph.num_edges()) == (3, 0)
    assert graph.tables["a"]["id"].to_list() == ["0", "1", "2"]


def test_a_part_of_the_edges_keeps_their_columns(toy_graph: Graph) -> None:
    store = to_pyg(keep_edges(toy_graph, torch.arange(12) >= 3))["user", "rates", "item"]
    assert store.edge_id.tolist() == [3, 4, 5]
    assert store.device.tolist() == ["tv", "app", "web"]

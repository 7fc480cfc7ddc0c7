from collections import Counter
from typing import Any

import numpy as np
import pytest
import torch

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.data.convert import from_pyg, to_pyg
from graphrec_pt.data.describe import describe
from graphrec_pt.graph.graph import Graph
from graphrec_pt.graph.split import keep_edges

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
        (lambda d: setattr(d["u"], "id", torch.arange(3)), "one for each of 20 nodes, got 3"),
        (lambda d: setattr(d["u"], "id", torch.zeros(20).long()), "an id of its own.*'0' twice"),
        (lambda d: setattr(d["u"], "id", torch.rand(20)), "whole numbers or texts"),
        (lambda d: setattr(d["i", "to", "i"], "edge_index", torch.ones(3, 4)), "the shape 2×E"),
        (lambda d: setattr(d["i", "to", "i"], "edge_index", torch.rand(2, 4)), "expected integers"),
        (lambda d: d["i", "to", "i"].pop("edge_index"), "an edge_index or adj_t, got nothing"),
        (
            lambda d: setattr(d["i", "to", "i"], "edge_weight", torch.ones(3)),
            "for each of 40 edges",
        ),
        (
            lambda d: setattr(d["i", "to", "i"], "edge_weight", torch.full((40,), torch.nan)),
            "finite",
        ),
        (
            lambda d: setattr(d["i", "to", "i"], "time", torch.ones(39)),
            "for each of 40 edges, got 39",
        ),
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


@pytest.mark.parametrize(
    "ids",
    [
        torch.tensor([10, 20]),
        torch.tensor([10, 20], dtype=torch.int32),
        torch.tensor([[10], [20]]),
        torch.tensor([10.0, 20.0]),
        np.array([10, 20]),
        np.array(["10", "20"]),
        ["10", "20"],
        [b"10", b"20"],
        (10, 20),
    ],
)
def test_raw_ids_of_any_kind(ids: Any) -> None:
    """Case 05, pytorch_geometric#1580: a tensor's elements became the text "tensor(10)"."""
    data = hetero()
    data["user"].id, data["user"].num_nodes, data["item"].num_nodes = ids, 2, 2
    data["user", "rates", "item"].edge_index = torch.tensor([[0, 1], [0, 1]])
    assert [from_pyg(data).raw_id(n) for n in range(2)] == ["10", "20"]


def rated() -> Any:
    data = hetero()
    data["user"].num_nodes, data["item"].num_nodes = 4, 5
    ends = torch.tensor([[0, 0, 0, 1, 1, 1, 2, 2, 2], [0, 1, 2, 1, 2, 3, 2, 3, 4]])
    data["user", "rates", "item"].edge_index = ends
    return data


@pytest.mark.parametrize("options", [{}, {"neg_sampling_ratio": 0.0}, {"split_labels": True}])
def test_what_a_link_split_adds_is_left_out_and_told(options: dict[str, Any]) -> None:
    """Case 21, pytorch_geometric#3958: pairs to predict are no edges and no columns of edges."""
    transforms = pytest.importorskip("torch_geometric.transforms")
    cutting = transforms.RandomLinkSplit(
        num_val=0.1,
        num_test=0.2,
        edge_types=[("user", "rates", "item")],
        rev_edge_types=[("item", "rev_rates", "user")],
        **options,
    )
    for part in cutting(transforms.ToUndirected()(rated())):
        graph = from_pyg(part, interactions=["rates"])
        assert graph.num_edges("rates") == part["user", "rates", "item"].edge_index.shape[1]
        assert graph.edge_tables == {}
        assert any(
            "edge_label" in told and "user–rates" in told for told in describe(graph).warnings
        )


def test_nodes_without_a_count_are_counted() -> None:
    """Case 22, pytorch_geometric#3604: by their attributes, else by what edges name."""
    data = hetero()
    data["user", "rates", "item"].edge_index = torch.tensor([[0, 1], [1, 2]])
    data["item"].x = torch.rand(5, 2)
    graph = from_pyg(data)
    assert (graph.num_nodes("user"), graph.num_nodes("item")) == (2, 5)
    assert any(told.startswith("user: no num_nodes") for told in describe(graph).warnings)
    assert not any(told.startswith("item: no num_nodes") for told in describe(graph).warnings)
    assert graph.schema.node("item").columns == {"x": "vector"}


@pytest.mark.parametrize("name", ["time", "edge_time", "timestamp", "edge_timestamp", "t"])
@pytest.mark.parametrize("dtype", [torch.int64, torch.int32, torch.float32])
def test_times_of_other_names(name: str, dtype: torch.dtype) -> None:
    data = rated()
    data["user", "rates", "item"][name] = torch.arange(9).flip(0).to(dtype)
    times = from_pyg(data).edges("rates").time
    assert times is not None
    assert times.tolist() == [6, 7, 8, 3, 4, 5, 0, 1, 2]


@pytest.mark.filterwarnings("ignore:Sparse CSR tensor support")
def test_a_sparse_matrix_holds_the_edges() -> None:
    transforms = pytest.importorskip("torch_geometric.transforms")
    data = rated()
    data["user", "rates", "item"].edge_weight = torch.arange(9).float() + 1
    turned = transforms.ToSparseTensor(attr="edge_weight")(rated())
    weighted = transforms.ToSparseTensor(attr="edge_weight")(data)
    assert "adj_t" in turned["user", "rates", "item"]
    assert rows(from_pyg(turned), "rates") == rows(from_pyg(rated()), "rates")
    assert rows(from_pyg(weighted), "rates") == rows(from_pyg(data), "rates")


def test_a_graph_of_one_type() -> None:
    """A plain ``Data``, and what ``to_homogeneous`` makes of a ``HeteroData``."""
    from torch_geometric.data import Data

    ends = torch.tensor([[0, 1, 2], [1, 2, 0]])
    one = Data(edge_index=ends, x=torch.rand(4, 3), edge_attr=torch.rand(3, 2), y=torch.tensor([1]))
    graph = from_pyg(one, interactions=["to"])
    assert (graph.num_nodes("node"), graph.num_edges("to")) == (4, 3)
    assert graph.schema.node("node").columns == {"x": "vector"}
    assert graph.edge_tables["to"].columns == ["edge_attr"]
    assert any("left out y" in told for told in describe(graph).warnings)
    data = rated()
    assert rows(from_pyg(data.to_homogeneous()), "rates") == rows(from_pyg(data), "rates")


def test_attributes_that_fit_no_column_are_told() -> None:
    data = rated()
    data["item"].image = torch.rand(5, 2, 2)
    data["item"].words = [["a"], ["b", "c"], [], [], []]
    data["item"].half = torch.rand(5).bfloat16()
    data["item"].wave = torch.rand(5).to(torch.complex64)
    data["item"].what = {"a": 1}
    data["item"].mask = torch.tensor([True, False, True, True, False])
    graph = from_pyg(data)
    assert set(graph.schema.node("item").columns) == {"half", "mask"}
    (told,) = (told for told in describe(graph).warnings if told.startswith("item: left out"))
    assert all(name in told for name in ("image", "words", "wave", "what"))


@pytest.mark.parametrize("data", [None, {}, [], "graph"])
def test_what_is_no_graph_is_told(data: Any) -> None:
    with pytest.raises(GraphRecError, match="from_pyg: expected HeteroData or Data, got"):
        from_pyg(data)
    with pytest.raises(GraphRecError, match="from_pyg: expected nodes, got none"):
        from_pyg(hetero())


def test_relations_without_edges_and_narrow_indices() -> None:
    data = rated()
    data["user", "rates", "item"].edge_index = data["user", "rates", "item"].edge_index.int()
    data["item", "to", "item"].edge_index = torch.empty(2, 0)
    data["user", "knows", "user"].edge_index = torch.empty(2, 0, dtype=torch.long)
    graph = from_pyg(data, interactions=["rates"])
    assert {r.name: graph.num_edges(r.name) for r in graph.schema.relations} == {
        "rates": 9,
        "to": 0,
        "knows": 0,
    }

"""What every sampler promises, one row per registered name."""

from dataclasses import dataclass, field, replace
from typing import Any

import pytest
import torch

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.graph.graph import Graph
from graphrec_pt.graph.split import Split, keep_edges
from graphrec_pt.kernels.dispatch import forced_body
from graphrec_pt.sampling.sample import Subgraphs, same
from graphrec_pt.sampling.sampler import Sampler, Sets, sampler
from graphrec_pt.testing import samplers
from graphrec_pt.testing.samplers import take, used_edges

KEY = samplers.KEY


@dataclass(frozen=True)
class Row:
    """One registered sampler under test.

    Args:
        config: What a recipe would say.
        roots: Type of the roots, or ``"pairs"`` or ``"sets"``.
        drawn: Whether anything is drawn.
        removable: Whether excluding an edge equals sampling the graph without it.
        small: Options that make it cheap enough for interpreted Triton.
    """

    config: dict[str, Any]
    roots: str
    drawn: bool = True
    removable: bool = False
    small: dict[str, Any] = field(default_factory=dict)


UP = [["rates", "rated_by", "rates"], ["rates", "made_by", "makes"], ["views", "tagged", "tags"]]
FEW = {"fanout": [2]}
ROWS = [
    Row({"name": "random_walk", "hops": 4, "repeats": 3}, "user"),
    Row({"name": "random_walk", "hops": 5, "restart": 0.3, "weighted": True}, "item"),
    Row({"name": "random_walk", "hops": 3, "repeats": 2, "timed": True}, "user"),
    Row({"name": "metapath", "relations": ["rates", "rated_by"], "cycles": 2}, "user"),
    Row({"name": "metapath", "relations": UP[0], "repeats": 2, "weighted": True}, "user"),
    Row(
        {"name": "node2vec", "hops": 4, "p": 0.3, "q": 3.0, "repeats": 2},
        "user",
        small={"hops": 2, "repeats": 1},
    ),
    Row({"name": "k_hop", "fanout": [3, 2], "edges": True}, "item", small=FEW),
    Row({"name": "k_hop", "fanout": [2, 2], "relations": ["rates", "rated_by", "tagged"]}, "user"),
    Row({"name": "k_hop", "fanout": [2, 2], "replace": True, "distinct": False}, "user"),
    Row({"name": "mcn", "fanout": [4, 2], "size": 5}, "item"),
    Row(
        {"name": "ppr", "size": 8, "edges": True}, "user", False, True, {"epsilon": 0.1, "size": 4}
    ),
    Row({"name": "ego", "fanout": [3, 2], "edges": True}, "sets", small={"edges": False}),
    Row({"name": "history", "window": 4}, "user", drawn=False, removable=True),
    Row({"name": "history", "relations": ["rates", "views"]}, "user", False, True),
    Row({"name": "history", "window": 4, "edges": True}, "user", False, True, {"edges": False}),
    Row({"name": "session", "gap": 6, "sessions": 2}, "user", drawn=False, removable=True),
    Row({"name": "set_of", "relations": ["holds"]}, "basket", drawn=False, removable=True),
    Row({"name": "set_of", "relations": ["holds"], "most": 2}, "basket"),
    Row(
        {"name": "past_sets", "owner": "rates", "own": ["made_by"], "past": ["tagged"]},
        "item",
        drawn=False,
        removable=True,
    ),
    Row(
        {"name": "past_sets", "owner": "rates", "past": ["made_by", "tagged"], "window": 1},
        "item",
        False,
    ),
    Row({"name": "tree", "relations": ["tagged", "is_a"]}, "item", drawn=False, removable=True),
    Row({"name": "dialogue", "own": True}, "turn", drawn=False, removable=True),
    Row(
        {
            "name": "impression",
            "sees": "in_basket",
            "shows": "holds",
            "history": ["tagged", "made_by"],
            "window": 3,
        },
        "basket",
        drawn=False,
        removable=True,
    ),
    Row(
        {"name": "path_subgraph", "metapaths": UP, "edges": True},
        "pairs",
        False,
        False,
        {"edges": False},
    ),
    Row(
        {
            "name": "both_ends",
            "source": {"name": "history", "window": 4},
            "target": {"name": "k_hop", "fanout": [3, 2]},
        },
        "pairs",
        small={"target": {"name": "k_hop", "fanout": [2]}},
    ),
    Row(
        {"name": "user_item_paths", "paths": 6, "tries": 64}, "user", small={"paths": 2, "tries": 8}
    ),
    Row(
        {"name": "user_item_paths", "constrained": False, "distinct": True},
        "user",
        small={"paths": 2},
    ),
]
IDS = [f"{n}-{row.config['name']}" for n, row in enumerate(ROWS)]


@pytest.fixture(params=ROWS, ids=IDS)
def row(request: pytest.FixtureRequest) -> Row:
    found: Row = request.param
    return found


@pytest.fixture
def draw(row: Row) -> Sampler:
    return sampler.build(row.config)


def roots_of(row: Row, graph: Graph) -> Any:
    users, items = graph.nodes("user"), graph.nodes("item")
    if row.roots == "pairs":
        return torch.tensor([(u, i) for u in users for i in list(items)[::2]])
    if row.roots == "sets":
        return Sets.of([[i, i + 3, 30] for i in list(items)[:-4]] + [[], [items[-1]], [12, 12]])
    return torch.tensor(list(graph.nodes(row.roots)))


def test_every_registered_sampler_has_a_row() -> None:
    ours = {n for n in sampler.names() if sampler.get(n).__module__.startswith("graphrec_pt.")}
    assert ours == {row.config["name"] for row in ROWS}


def test_config_round_trip(row: Row, draw: Sampler) -> None:
    again = sampler.build(sampler.config(draw))
    assert again == draw
    assert row.config["name"] in sampler.config(again)["name"]


def test_edges_are_those_of_the_view(
    row: Row, draw: Sampler, train: Graph, shop_split: Split
) -> None:
    held_out = set(shop_split.test.edge.tolist()) | set(shop_split.valid.edge.tolist())
    used = samplers.uses_edges_of_the_graph(draw, train, roots_of(row, train))
    assert not held_out & {number for *_, number in used}
    for source, index, target, _ in used:
        relation = train.schema.relations[index]
        assert train.type_of(source) == relation.source
        assert train.type_of(target) == relation.target


def test_the_whole_graph_would_give_held_out_edges(
    row: Row, draw: Sampler, shop: Graph, shop_split: Split
) -> None:
    # So that the test above could fail: where ratings matter, some held-out one is met.
    if row.config["name"] in ("set_of", "tree", "dialogue", "impression"):
        return
    held_out = set(shop_split.test.edge.tolist()) | set(shop_split.valid.edge.tolist())
    used = used_edges(shop, draw.sample(shop, roots_of(row, shop), KEY))
    assert held_out & {number for mine in used for *_, number in mine}


def test_roots_come_first(row: Row, draw: Sampler, train: Graph) -> None:
    samplers.roots_come_first(draw, train, roots_of(row, train))


def test_same_key_same_sample(row: Row, draw: Sampler, train: Graph) -> None:
    samplers.is_a_function_of_its_key(draw, train, roots_of(row, train), drawn=row.drawn)


def test_batch_composition_and_order_do_not_matter(row: Row, draw: Sampler, train: Graph) -> None:
    samplers.does_not_depend_on_the_batch(draw, train, roots_of(row, train))


def test_exclude_hides_an_edge_in_both_directions(row: Row, draw: Sampler, train: Graph) -> None:
    samplers.hides_the_excluded_edge(draw, train, roots_of(row, train))


def test_exclude_equals_removal(row: Row, draw: Sampler, train: Graph) -> None:
    if not row.removable:
        return
    roots = roots_of(row, train)
    before = used_edges(train, draw.sample(train, roots, KEY))
    for at, mine in enumerate(before[:7]):
        for *_, number in mine[:2]:
            kept = torch.ones(train.num_edge_ids, dtype=torch.bool)
            kept[number] = False
            smaller = keep_edges(train, kept)
            alone = take(roots, [at])
            hidden = draw.sample(train, alone, KEY, torch.tensor([number]))
            removed = draw.sample(smaller, alone, KEY)
            assert hidden.node.tolist() == removed.node.tolist()
            for name in ("ptr", "parent", "relation", "hop", "slot", "score", "edges"):
                mine_, other = getattr(hidden, name), getattr(removed, name)
                assert (mine_ is None and other is None) or torch.equal(mine_, other), name


def test_bodies_agree(row: Row, draw: Sampler, train: Graph) -> None:
    roots = take(roots_of(row, train), [0, 1, 3])
    exclude = torch.tensor([-1, 0, 5])
    for name in ("numba", "triton"):
        if name == "triton":
            pytest.importorskip("triton")
            draw = sampler.build({**row.config, **row.small})
            roots, exclude = take(roots, [0, 1]), exclude[:2]
        with forced_body("torch"):
            plain, hidden = draw.sample(train, roots, KEY), draw.sample(train, roots, KEY, exclude)
        with forced_body(name):
            assert same(draw.sample(train, roots, KEY), plain), name
            assert same(draw.sample(train, roots, KEY, exclude), hidden), name


def test_no_roots(row: Row, draw: Sampler, train: Graph) -> None:
    samplers.takes_no_roots(draw, train, roots_of(row, train))


def test_isolated_roots(row: Row, draw: Sampler, train: Graph) -> None:
    ends = {name: nodes[-1] for name in train.schema.node_names if (nodes := train.nodes(name))}
    alone = {
        "pairs": torch.tensor([[ends["user"], ends["item"]]]),
        "sets": Sets.of([[ends["code"]]]),
    }.get(row.roots)
    sample = draw.sample(train, torch.tensor([ends[row.roots]]) if alone is None else alone, KEY)
    assert len(sample.triples()) == 0
    if isinstance(sample, Subgraphs):
        assert bool((sample.hop == 0).all())


def test_roots_outside_the_graph(row: Row, draw: Sampler, train: Graph) -> None:
    n = train.num_nodes()
    for bad in (-1, n):
        wrong: Any = torch.tensor([bad])
        wrong = {"pairs": torch.tensor([[0, bad]]), "sets": [[bad]]}.get(row.roots, wrong)
        with pytest.raises(GraphRecError, match=r"roots in \[0, 53\), got " + str(bad)):
            draw.sample(train, Sets.of(wrong) if row.roots == "sets" else wrong, KEY)


def test_roots_of_the_wrong_type(row: Row, draw: Sampler, train: Graph) -> None:
    if row.config["name"] in ("random_walk", "node2vec", "k_hop", "mcn", "ppr", "ego", "tree"):
        return  # roots of any type
    wrong = torch.tensor([24]) if row.roots != "pairs" else torch.tensor([[24, 12]])
    kind = "user" if row.roots == "pairs" else row.roots
    with pytest.raises(GraphRecError, match=f"roots of type '{kind}', got node 24.*'brand'"):
        draw.sample(train, wrong, KEY)


def test_exclude_must_fit_the_roots(row: Row, draw: Sampler, train: Graph) -> None:
    with pytest.raises(GraphRecError, match="one per root"):
        draw.sample(train, take(roots_of(row, train), [0, 1]), KEY, torch.tensor([3]))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_the_same_on_a_gpu(row: Row, draw: Sampler, train: Graph) -> None:
    roots = roots_of(row, train)
    exclude = torch.arange(len(roots)) - 1
    there = replace(train, csr=train.csr.to("cuda"))
    for given in (None, exclude):
        found = draw.sample(there, roots, KEY, given)
        assert same(found.to("cpu"), draw.sample(train, roots, KEY, given))

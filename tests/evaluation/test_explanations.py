"""Paths given as explanations: true ones, invented ones, and ones that explain nothing."""

import numpy as np
import polars as pl
import pytest
import torch

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.core.key import Key
from graphrec_pt.data.build import build
from graphrec_pt.data.plan import EdgePlan, NodePlan, Plan
from graphrec_pt.data.synthetic import synthetic_graph
from graphrec_pt.evaluation.explanations import (
    diversity,
    faithful,
    linking_diversity,
    valid_paths,
)
from graphrec_pt.graph.graph import Graph
from graphrec_pt.graph.split import split
from graphrec_pt.sampling.sample import Paths
from graphrec_pt.sampling.sampler import sampler


@pytest.fixture(scope="module")
def kiosk() -> Graph:
    """ann buys pen and ink; pen and cup are made by acme; nobody buys cup."""
    tables = {
        "buys": pl.DataFrame({"user": ["ann", "ann"], "item": ["pen", "ink"]}),
        "made": pl.DataFrame({"item": ["pen", "cup"], "brand": ["acme", "acme"]}),
    }
    edges = {
        "buys": EdgePlan(
            table="buys",
            source="user.user",
            target="item.item",
            inverse="bought_by",
            interaction=True,
        ),
        "made_by": EdgePlan(
            table="made", source="item.item", target="brand.brand", inverse="makes"
        ),
    }
    return build(
        Plan(nodes={n: NodePlan() for n in ("user", "item", "brand")}, edges=edges), tables
    )


def paths(graph: Graph, *rows: str, root: list[int]) -> Paths:
    """Return paths written as ``"ann buys pen made_by acme"``."""
    kinds = {"ann": "user", "acme": "brand"}
    words = [row.split() for row in rows]
    width = max(map(len, words)) // 2
    nodes = torch.full((len(rows), width + 1), -1)
    relations = torch.full((len(rows), width), -1)
    for at, path in enumerate(words):
        for step, word in enumerate(path):
            if step % 2:
                relations[at, step // 2] = graph.schema.relation_index(word)
            else:
                nodes[at, step // 2] = graph.node_id(kinds.get(word, "item"), word)
    length = torch.tensor([len(path) // 2 for path in words])
    unknown = torch.full_like(relations, -1)
    size = max(root) + 1
    return Paths(
        nodes, relations, length, torch.tensor(root), torch.zeros(len(rows)), unknown, size
    )


def test_valid_paths(kiosk: Graph) -> None:
    told = paths(
        kiosk,
        "ann buys pen made_by acme makes cup",  # true
        "ann buys cup",  # no such edge
        "ann buys pen made_by acme makes ink",  # the last hop is invented
        "ann buys pen bought_by acme",  # no such relation between them
        "ann made_by pen",  # users are made by nobody
        "ann",  # nothing said
        "pen bought_by ann buys ink",  # true, from another root
        root=[0] * 7,
    )
    assert valid_paths(kiosk, told).tolist() == [True, *[False] * 5, True]


def test_faithful_recommendations(kiosk: Graph) -> None:
    ann, pen, ink, cup = (
        kiosk.node_id("user" if name == "ann" else "item", name)
        for name in ("ann", "pen", "ink", "cup")
    )
    told = paths(
        kiosk,
        "ann buys pen made_by acme makes cup",  # explains cup
        "ann buys pen made_by acme makes ink",  # invented
        "ann buys pen",  # true, but pen was not asked about
        "pen bought_by ann buys ink",  # true, but begins elsewhere
        root=[0, 1, 2, 3],
    )
    source = torch.tensor([ann] * 5)
    item = torch.tensor([cup, ink, ink, ink, pen])
    with pytest.raises(GraphRecError, match="4 sources and items, got 5 and 5"):
        faithful(kiosk, told, source, item)
    found = faithful(kiosk, told, source[:4], item[:4])
    assert found.tolist() == [True, False, False, False]


def test_diversity(kiosk: Graph) -> None:
    told = paths(
        kiosk,
        "ann buys pen made_by acme",
        "ann buys ink made_by acme",  # the same pattern, another inner node
        "ann buys pen bought_by ann",
        "ann buys pen",
        root=[0, 0, 0, 2],
    )
    np.testing.assert_allclose(diversity(told), [2 / 3, np.nan, 1])
    np.testing.assert_allclose(linking_diversity(told), [2 / 3, np.nan, np.nan])


def test_walks_over_held_out_edges_are_found_out() -> None:
    cut = split(synthetic_graph(60, 40, 600), "leave_one_out")
    roots = torch.arange(100)
    walks = sampler.build({"name": "random_walk", "hops": 3}).sample(cut.graph, roots, Key(0))
    assert isinstance(walks, Paths)
    known = {
        (source, cut.train.schema.relation_index(relation.name), target)
        for relation in cut.train.schema.relations
        for source, target in zip(
            *(ends.tolist() for ends in cut.train.edges(relation.name)[:2]), strict=True
        )
    }
    wanted = []
    for row in range(len(walks)):
        nodes, relations = walks.nodes[row].tolist(), walks.relations[row].tolist()
        hops = list(zip(nodes, relations, nodes[1:], strict=False))[: int(walks.length[row])]
        wanted.append(bool(hops) and all(hop in known for hop in hops))
    assert valid_paths(cut.train, walks).tolist() == wanted
    assert 0 < sum(wanted) < int((walks.length > 0).sum())
    assert bool(valid_paths(cut.graph, walks)[walks.length > 0].all())

"""``options.sampling: device``: every objective's batches are made on the device, bit for bit."""

from dataclasses import replace
from typing import Any

import pytest
import torch

import graphrec_pt.objectives
import graphrec_pt.sampling
import graphrec_pt.tokens  # noqa: F401 - registers its members
from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.graph.graph import Graph
from graphrec_pt.kernels.dispatch import forced_body
from graphrec_pt.objectives.objective import objective
from graphrec_pt.sampling.loader import Loader
from graphrec_pt.sampling.sampler import Sets
from graphrec_pt.testing.graphs import example_graph
from graphrec_pt.training.trainer import Trainer
from tests.far_device import far_device
from tests.lists_world import lists_graph
from tests.objectives.conftest import prepared
from tests.objectives.test_conformance import IDS, ROWS, Row, roots_of
from tests.sampling.test_devices import assert_same, flat

DRAWING = {"pairwise", "masked_edge", "link", "subgraph_contrast", "next_item"}
"""Objectives whose corruption asks the graph for more: edges, negatives, further samples."""
DRAWN = [row for row in ROWS if row.config["name"] in DRAWING]


@pytest.fixture(scope="module")
def shop() -> Graph:
    return example_graph()


def first_batch(row: Row, graph: Graph, roots: Any, batch: int) -> Any:
    """Return the first batch of a row, corrupted for its objective."""
    made = prepared(graph, row.sampler, row.linearizer, roots)
    made = replace(made, objectives={"only": objective.build(row.config)})
    loader = Loader(graph, made.sampler, roots, batch, seed=3, threads=0, transform=made)
    return next(iter(loader))


@pytest.mark.parametrize("row", ROWS, ids=IDS)
def test_batches_are_made_where_the_graph_is(row: Row, shop: Graph) -> None:
    shop = lists_graph() if row.world == "lists" else shop
    roots = roots_of(row, shop)
    size = max(len(roots) // 2, 4)
    with far_device() as device, forced_body("torch"):  # first: nothing is kept yet
        far = first_batch(row, shop.to(device), roots.to(device), size)
    assert_same(far, first_batch(row, shop, roots, size))


@pytest.mark.parametrize("row", DRAWN, ids=[str(row.config["name"]) for row in DRAWN])
def test_triton_corrupts_like_numba(row: Row, shop: Graph) -> None:
    pytest.importorskip("triton")
    roots = roots_of(row, shop)
    some = roots if isinstance(roots, Sets) else roots[torch.linspace(0, len(roots) - 1, 4).long()]
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    expected = flat(first_batch(row, shop, some, 4))
    with forced_body("triton"):
        found = flat(first_batch(row, shop.to(device), some.to(device), 4))
    assert found.keys() == expected.keys()
    for place, value in expected.items():
        same = found[place]
        if isinstance(value, torch.Tensor):
            assert torch.equal(same.cpu(), value), place


def test_a_device_that_is_not_there(world: Graph, new_model: Any, new_stage: Any) -> None:
    message = "trainer: expected a GPU for sampling: device, got cpu: true; try sampling: cpu"
    with pytest.raises(GraphRecError, match=message):
        Trainer(sampling="device", cpu=True).fit(new_model(world), world, new_stage())

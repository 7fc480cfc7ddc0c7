"""A small packed batch with every structural column, and a small shop with models of it."""

from dataclasses import dataclass

import polars as pl
import pytest
import torch
from torch import Tensor

from graphrec_pt.core.key import Key
from graphrec_pt.data.build import build
from graphrec_pt.data.synthetic import synthetic_tables
from graphrec_pt.features.node_features import Features
from graphrec_pt.models.model import Model
from graphrec_pt.models.transformer import GraphTransformer
from graphrec_pt.models.view import View
from graphrec_pt.tokens.kind import Kind
from graphrec_pt.tokens.tokens import Tokens

WIDTH = 16


@dataclass
class Batch:
    x: Tensor
    ptr: Tensor
    structure: dict[str, Tensor]
    order: Tensor
    prefix: Tensor
    edges: Tensor

    @property
    def given(self):
        return self.x, self.ptr, self.structure

    def needs(self, mode):
        found = {"order": self.order} if mode == "permuted" else {}
        return found | ({"prefix": self.prefix} if mode == "prefix" else {})


def build_batch(lengths=(5, 0, 1, 9, 4), seed=0, dtype=torch.float32):
    draw = torch.Generator().manual_seed(seed)
    ptr = torch.tensor([0, *lengths]).cumsum(0)
    tokens = int(ptr[-1])
    position = torch.cat([torch.arange(n) for n in lengths])
    structure = {
        "position": position,
        "type": torch.randint(3, (tokens,), generator=draw),
        "parent": position - 1,
    }
    edges = [
        (int(ptr[b]) + i, (i + j) % 4, int(ptr[b]) + j)
        for b, n in enumerate(lengths)
        for i, j in torch.randint(max(n, 1), (3, 2), generator=draw).tolist()
        if n
    ]
    return Batch(
        x=torch.randn(tokens, WIDTH, generator=draw, dtype=dtype),
        ptr=ptr,
        structure=structure,
        order=torch.cat([torch.randperm(n, generator=draw) for n in lengths]),
        prefix=torch.tensor([min(n, 2) for n in lengths]),
        edges=torch.tensor(edges),
    )


@pytest.fixture
def batch() -> Batch:
    """Give :func:`build_batch`."""
    return build_batch()


@pytest.fixture
def make_batch():
    """Give the function that builds a batch of other lengths."""
    return build_batch


@pytest.fixture(scope="session")
def world():
    """Give a function from (permutation seed, changes of plan and tables) to a graph.

    It is the same shop every time: numbers of nodes depend on the seed, raw ids do not.
    """

    def make(seed=0, change=None):
        plan, tables = synthetic_tables(20, 12, 120, attributes=2, clusters=3, key=Key(5))
        tables["items"] = tables["items"].with_columns(color=pl.col("cluster").cast(pl.String))
        item = plan.nodes["item"].model_copy(
            update={"columns": {"title": "text", "year": "number", "color": "category"}}
        )
        plan = plan.model_copy(update={"nodes": plan.nodes | {"item": item}})
        return build(*(change(plan, tables) if change else (plan, tables)), seed=seed)

    return make


@pytest.fixture(scope="session")
def graph(world):
    """Give a small invented shop."""
    return world()


@pytest.fixture
def model_of():
    """Give a function from a graph to a small model, in evaluation mode."""

    def make(graph, features=None, structure=None, seed=0, **options):
        network = GraphTransformer(
            width=8, layers=1, structure=structure or {"position": 6, "type": None}, **options
        )
        if isinstance(features, dict):
            features = Features(by_type=features)
        return Model.of(graph, backbone=network, features=features, seed=seed).eval()

    return make


@pytest.fixture
def view_of():
    """Give a function from sequences of node ids to a view, with what else a graph tells."""

    def make(graph, *sequences, mode=None):
        nodes = torch.tensor([node for nodes in sequences for node in nodes], dtype=torch.int64)
        lengths = torch.tensor([0, *map(len, sequences)])
        starts = graph.csr.offset[1:].contiguous()
        kind = torch.bucketize(nodes, starts, right=True)
        return View(Tokens.of(nodes, Kind.NODE, lengths.cumsum(0), type=kind), mode=mode)

    return make

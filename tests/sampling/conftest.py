"""A typed graph with everything that some sampler needs, and its train view.

::

    user 0–11, item 12–23, brand 24–27, turn 28–37, code 38–46, basket 47–52

The last node of each type is isolated. Users 0 and 1 rate the same four items.
"""

import os
from collections.abc import Iterator

import pytest
import torch

if not torch.cuda.is_available():  # must be set before triton compiles anything
    os.environ.setdefault("TRITON_INTERPRET", "1")

import numpy as np
import polars as pl

from graphrec_pt.graph.assemble import EdgeList, assemble
from graphrec_pt.graph.graph import Graph
from graphrec_pt.graph.schema import NodeType, Relation, Schema
from graphrec_pt.graph.split import Split, split
from graphrec_pt.kernels.dispatch import BODIES, forced_body

COUNTS = {"user": 12, "item": 12, "brand": 4, "turn": 10, "code": 9, "basket": 6}


def both_ways(name: str, inverse: str, source: str, target: str, **kind: bool) -> list[Relation]:
    return [
        Relation(name=name, source=source, target=target, inverse=inverse, **kind),
        Relation(name=inverse, source=target, target=source, inverse=name, backward=True, **kind),
    ]


SCHEMA = Schema(
    nodes=tuple(NodeType(name=name) for name in COUNTS),
    relations=(
        *both_ways(
            "rates", "rated_by", "user", "item", timed=True, weighted=True, interaction=True
        ),
        *both_ways("views", "viewed_by", "user", "item", timed=True),
        *both_ways("made_by", "makes", "item", "brand"),
        *both_ways("tagged", "tags", "item", "code"),
        *both_ways("is_a", "kinds", "code", "code"),
        Relation(name="follows", source="turn", target="turn"),
        *both_ways("mentions", "mentioned_in", "turn", "item"),
        *both_ways("holds", "in_basket", "basket", "item"),
    ),
)


def edge_lists() -> dict[str, EdgeList]:
    draw = np.random.default_rng(5)

    def pairs(source: str, target: str, n: int) -> tuple[np.ndarray, np.ndarray]:
        return (
            draw.integers(0, COUNTS[source] - 1, n),  # all but the last node
            draw.integers(0, COUNTS[target] - 1, n),
        )

    user, item = pairs("user", "item", 44)
    user, item = user[user > 1], item[user > 1]
    user = np.concatenate([[0] * 4, [1] * 4, user])
    item = np.concatenate([[1, 4, 6, 9] * 2, item])
    viewer, viewed = pairs("user", "item", 20)
    chain = np.array([1, 2, 3, 5, 6, 7])  # turns 0–3 and 4–7 are dialogues, 8 stands alone
    return {
        "rates": EdgeList(
            user,
            item,
            draw.integers(0, 40, len(user)),
            draw.integers(1, 9, len(user)).astype(np.float32) / 4,
        ),
        "views": EdgeList(viewer, viewed, draw.integers(0, 40, 20)),
        "made_by": EdgeList(np.arange(10), draw.integers(0, 3, 10)),
        "tagged": EdgeList(*pairs("item", "code", 14)),
        "is_a": EdgeList(np.array([0, 1, 2, 3, 4, 5]), np.array([4, 4, 5, 5, 6, 6])),
        "follows": EdgeList(chain, chain - 1),
        "mentions": EdgeList(*pairs("turn", "item", 14)),
        "holds": EdgeList(*pairs("basket", "item", 16)),
    }


def node_tables() -> dict[str, pl.DataFrame]:
    return {
        name: pl.DataFrame({"id": [f"{name[0]}{n}" for n in range(count)]})
        for name, count in COUNTS.items()
    }


@pytest.fixture(scope="session")
def shop() -> Graph:
    """The whole graph."""
    made = assemble(SCHEMA, list(COUNTS.values()), edge_lists())
    return Graph(
        SCHEMA,
        made.csr,
        node_tables(),
        made.edge_tables,
        made.edge_offset,
        fingerprint="shop",
        edge_ids=made.edge_ids,
    )


@pytest.fixture(scope="session")
def shop_split(shop: Graph) -> Split:
    """The graph, the last two ratings of each user held out."""
    return split(shop, "leave_one_out")


@pytest.fixture(scope="session")
def train(shop_split: Split) -> Graph:
    """What may be learnt from."""
    return shop_split.train


@pytest.fixture(params=BODIES)
def body(request: pytest.FixtureRequest) -> Iterator[str]:
    """Run the test once per kernel body; yields its name."""
    if request.param == "triton":
        pytest.importorskip("triton")
    with forced_body(request.param):
        yield request.param

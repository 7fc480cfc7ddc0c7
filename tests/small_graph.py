"""A typed graph small enough to check by hand.

::

    user   0 ann, 1 bob, 2 cat           rates    timed, weighted, inverse rated_by, column device
    item   3 pen, 4 ink, 5 cup, 6 mug    made_by  plain, inverse makes
    brand  7 acme, 8 zeta                follows  timed, no inverse (user → user)
    tag    9 lonely                      (nothing touches it)

ann rates ink twice; bob rates pen and ink at the same time; cat rates nothing; mug has no brand.
"""

import numpy as np
import polars as pl
import pytest
from hypothesis import settings

from graphrec_pt.graph.assemble import EdgeList, assemble
from graphrec_pt.graph.graph import Graph
from graphrec_pt.graph.schema import NodeType, Relation, Schema

settings.register_profile("graph", deadline=None, max_examples=50)  # the first call compiles
settings.load_profile("graph")

SCHEMA = Schema(
    nodes=(
        NodeType(name="user", columns={"age": "number", "club": "category"}),
        NodeType(name="item", columns={"title": "text", "look": "vector"}, title="title"),
        NodeType(name="brand"),
        NodeType(name="tag"),
    ),
    relations=(
        Relation(
            name="rates",
            source="user",
            target="item",
            inverse="rated_by",
            timed=True,
            weighted=True,
            interaction=True,
        ),
        Relation(
            name="rated_by",
            source="item",
            target="user",
            inverse="rates",
            backward=True,
            timed=True,
            weighted=True,
            interaction=True,
        ),
        Relation(name="made_by", source="item", target="brand", inverse="makes"),
        Relation(name="makes", source="brand", target="item", inverse="made_by", backward=True),
        Relation(name="follows", source="user", target="user", timed=True),
    ),
)

RATES = [  # user, item, time, weight, device
    (0, 1, 30, 5.0, "web"),
    (0, 0, 10, 4.0, "app"),
    (1, 1, 20, 2.0, "app"),
    (0, 1, 40, 3.0, "web"),
    (1, 0, 20, 1.0, "tv"),
    (1, 3, 50, 5.0, "web"),
]
MADE_BY = [(2, 1), (0, 0), (1, 0)]
FOLLOWS = [(2, 0, 7), (0, 1, 9), (2, 1, 5)]


def edge_lists() -> dict[str, EdgeList]:
    user, item, time, weight, device = (np.array(c) for c in zip(*RATES, strict=True))
    product, brand = (np.array(c) for c in zip(*MADE_BY, strict=True))
    fan, star, since = (np.array(c) for c in zip(*FOLLOWS, strict=True))
    columns = pl.DataFrame({"device": device})
    return {
        "rates": EdgeList(user, item, time, weight.astype(np.float32), columns),
        "made_by": EdgeList(product, brand),
        "follows": EdgeList(fan, star, since),
    }


def toy_tables() -> dict[str, pl.DataFrame]:
    return {
        "user": pl.DataFrame(
            {"id": ["ann", "bob", "cat"], "age": [31.0, None, 8.0], "club": ["x", "y", None]},
            schema_overrides={"club": pl.Enum(["x", "y"])},
        ),
        "item": pl.DataFrame(
            {
                "id": ["pen", "ink", "cup", "mug"],
                "title": ["A pen", "Ink", None, "Mug, large"],
                "look": [[0.0, 1.0], [1.0, 0.0], [0.5, 0.5], [1.0, 1.0]],
            },
            schema_overrides={"look": pl.Array(pl.Float32, 2)},
        ),
        "brand": pl.DataFrame({"id": ["acme", "zeta"]}),
        "tag": pl.DataFrame({"id": ["lonely"]}),
    }


@pytest.fixture(scope="session")
def toy_graph() -> Graph:
    made = assemble(SCHEMA, [3, 4, 2, 1], edge_lists())
    return Graph(
        SCHEMA,
        made.csr,
        toy_tables(),
        made.edge_tables,
        made.edge_offset,
        edge_ids=made.edge_ids,
        provenance={"seed": 1},
    )

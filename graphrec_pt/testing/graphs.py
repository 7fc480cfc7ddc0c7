"""The graph that checks use by default: small, and with columns and relations of every kind.

::

    user 0–15, item 16–35, brand 36–40, code 41–49, basket 50–57

The last node of each type is isolated.
"""

import numpy as np
import numpy.typing as npt
import polars as pl

from graphrec_pt.graph.assemble import EdgeList, assemble
from graphrec_pt.graph.graph import Graph
from graphrec_pt.graph.schema import NodeType, Relation, Schema
from graphrec_pt.graph.split import Split, split

COUNTS = {"user": 16, "item": 20, "brand": 5, "code": 9, "basket": 8}
GENRES = ["crime", "drama", "jazz"]
WORDS = ["red", "blue", "old", "new", "pen", "cup"]


def _both_ways(name: str, inverse: str, source: str, target: str, **kind: bool) -> list[Relation]:
    return [
        Relation(name=name, source=source, target=target, inverse=inverse, **kind),
        Relation(name=inverse, source=target, target=source, inverse=name, backward=True, **kind),
    ]


SCHEMA = Schema(
    nodes=(
        NodeType(name="user", columns={"age": "number", "team": "category", "taste": "vector"}),
        NodeType(
            name="item",
            columns={"title": "text", "look": "vector", "year": "number", "genre": "category"},
            title="title",
        ),
        NodeType(name="brand"),
        NodeType(name="code"),
        NodeType(name="basket"),
    ),
    relations=(
        *_both_ways("rates", "rated_by", "user", "item", timed=True, interaction=True),
        *_both_ways("views", "viewed_by", "user", "item", timed=True),
        *_both_ways("made_by", "makes", "item", "brand"),
        *_both_ways("tagged", "tags", "item", "code"),
        *_both_ways("is_a", "kinds", "code", "code"),
        *_both_ways("holds", "in_basket", "basket", "item"),
    ),
)


def _edges() -> dict[str, EdgeList]:
    draw = np.random.default_rng(3)

    def pairs(source: str, target: str, n: int) -> npt.NDArray[np.int64]:
        ends = [draw.integers(0, COUNTS[name] - 1, n) for name in (source, target)]
        return np.unique(np.stack(ends, 1), axis=0).T

    user, item = pairs("user", "item", 110)
    viewer, viewed = pairs("user", "item", 40)
    return {
        "rates": EdgeList(user, item, draw.integers(0, 60, len(user))),
        "views": EdgeList(viewer, viewed, draw.integers(0, 60, len(viewer))),
        "made_by": EdgeList(np.arange(19), draw.integers(0, 4, 19)),
        "tagged": EdgeList(*pairs("item", "code", 30)),
        "is_a": EdgeList(np.array([0, 1, 2, 3, 4, 5]), np.array([4, 4, 5, 5, 6, 6])),
        "holds": EdgeList(*pairs("basket", "item", 32)),
    }


def _tables() -> dict[str, pl.DataFrame]:
    draw = np.random.default_rng(4)
    tables = {
        name: pl.DataFrame({"id": [f"{name[0]}{n}" for n in range(count)]})
        for name, count in COUNTS.items()
    }
    users, items = COUNTS["user"], COUNTS["item"]
    titles = [" ".join(draw.choice(WORDS, 1 + n % 3)) for n in range(items)]
    tables["user"] = tables["user"].with_columns(
        age=pl.Series(draw.integers(18, 80, users).astype(np.float32)),
        team=pl.Series([["a", "b"][n % 2] for n in range(users)], dtype=pl.Enum(["a", "b"])),
        taste=pl.Series(
            np.random.default_rng(5).normal(size=(users, 2)).tolist(),
            dtype=pl.Array(pl.Float32, 2),
        ),
    )
    tables["item"] = tables["item"].with_columns(
        title=pl.Series([None, *titles[1:]]),
        look=pl.Series(draw.normal(size=(items, 2)).tolist(), dtype=pl.Array(pl.Float32, 2)),
        year=pl.Series([None, *draw.integers(1980, 2020, items - 1).tolist()], dtype=pl.Int64),
        genre=pl.Series([None, *draw.choice(GENRES, items - 1).tolist()], dtype=pl.Enum(GENRES)),
    )
    return tables


def example_graph() -> Graph:
    """Return a typed graph of 58 nodes; node ids are stated at the top of this module.

    Users rate items (``rates``, timed, an interaction) and view them (``views``, timed); items are
    ``made_by`` a brand and ``tagged`` with codes, which form a tree (``is_a``); baskets ``holds``
    items. Users have an age, a team and a vector; items a title, a vector, a year and a genre.

    Example:
        >>> graph = example_graph()
        >>> [len(graph.nodes(name)) for name in graph.schema.node_names]
        [16, 20, 5, 9, 8]
    """
    made = assemble(SCHEMA, list(COUNTS.values()), _edges())
    return Graph(
        SCHEMA,
        made.csr,
        _tables(),
        made.edge_tables,
        made.edge_offset,
        fingerprint="shop",
        edge_ids=made.edge_ids,
    )


def example_split() -> Split:
    """Return the example graph with the last two ratings of each user held out."""
    return split(example_graph(), "leave_one_out")

"""How the worlds of the conftest are made."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl

from graphrec_pt.data.build import build
from graphrec_pt.data.plan import EdgePlan, NodePlan, Plan
from graphrec_pt.graph.assemble import EdgeList, assemble
from graphrec_pt.graph.graph import Graph
from graphrec_pt.graph.schema import NodeType, Relation, Schema

COUNTS = {"user": 16, "item": 20, "brand": 5, "code": 9, "basket": 8}
GENRES = ["crime", "drama", "jazz"]
WORDS = ["red", "blue", "old", "new", "pen", "cup"]


def both_ways(name: str, inverse: str, source: str, target: str, **kind: bool) -> list[Relation]:
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
        *both_ways("rates", "rated_by", "user", "item", timed=True, interaction=True),
        *both_ways("views", "viewed_by", "user", "item", timed=True),
        *both_ways("made_by", "makes", "item", "brand"),
        *both_ways("tagged", "tags", "item", "code"),
        *both_ways("is_a", "kinds", "code", "code"),
        *both_ways("holds", "in_basket", "basket", "item"),
    ),
)


def _edges() -> dict[str, EdgeList]:
    draw = np.random.default_rng(3)

    def pairs(source: str, target: str, n: int) -> np.ndarray:
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


def shop_graph() -> Graph:
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


SMALL = Schema(
    nodes=(
        NodeType(name="user", columns={"taste": "vector"}),
        NodeType(name="item", columns={"look": "vector"}),
        NodeType(name="brand"),
    ),
    relations=(
        *both_ways("rates", "rated_by", "user", "item", timed=True, interaction=True),
        *both_ways("made_by", "makes", "item", "brand"),
    ),
)


def small_graph(
    counts: Sequence[int],
    rates: Sequence[tuple[int, int, int]],
    made_by: Sequence[tuple[int, int]],
    taste: Any = None,
    look: Any = None,
) -> Graph:
    """Return users who rate items at times, and items made by brands, numbered in their types."""
    user, item, time = np.array(rates).T
    made = assemble(
        SMALL,
        counts,
        {"rates": EdgeList(user, item, time), "made_by": EdgeList(*np.array(made_by).T)},
    )
    tables = {
        node.name: pl.DataFrame({"id": [f"{node.name[0]}{n}" for n in range(count)]})
        for node, count in zip(SMALL.nodes, counts, strict=True)
    }
    for name, column, given in (("user", "taste", taste), ("item", "look", look)):
        values = np.zeros((len(tables[name]), 2)) if given is None else np.asarray(given)
        dtype = pl.Array(pl.Float32, values.shape[1])
        series = pl.Series(column, values.tolist(), dtype=dtype)
        tables[name] = tables[name].with_columns(series)
    return Graph(
        SMALL, made.csr, tables, made.edge_tables, made.edge_offset, edge_ids=made.edge_ids
    )


def colors_graph() -> Graph:
    """Sixteen users rate the eight of sixteen items that are of their colour and view the others.

    A colour is even or odd, that of a raw id. Columns of items tell it: `genre` even or odd, `year`
    1990 or 2010, `look` (1, 2) or (−1, 2).
    """
    user, item = (side.ravel() for side in np.indices((16, 16)))
    own = (user - item) % 2 == 0
    odd = np.arange(16) % 2
    tables = {
        "rated": pl.DataFrame({"user": user[own], "item": item[own]}),
        "viewed": pl.DataFrame({"user": user[~own], "item": item[~own]}),
        "items": pl.DataFrame(
            {
                "id": np.arange(16),
                "genre": np.array(["even", "odd"])[odd],
                "year": 1990 + 20 * odd,
                "look": pl.Series([[1.0 - 2 * o, 2.0] for o in odd], dtype=pl.Array(pl.Float32, 2)),
            }
        ),
    }

    def edge(table: str, inverse: str) -> EdgePlan:
        ends = {"source": "user.user", "target": "item.item"}
        return EdgePlan(table=table, inverse=inverse, interaction=table == "rated", **ends)

    columns: dict[str, Any] = {"genre": "category", "year": "number", "look": "vector"}
    nodes = {"user": NodePlan(), "item": NodePlan(table="items", id="id", columns=columns)}
    edges = {"rates": edge("rated", "rated_by"), "views": edge("viewed", "viewed_by")}
    return build(Plan(nodes=nodes, edges=edges), tables)


class Letters:
    """A tokenizer that needs nothing: one id per letter, below 128."""

    def encode(self, text: str) -> list[int]:
        return [ord(letter) for letter in text]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Letters)

    __hash__ = None  # type: ignore[assignment]

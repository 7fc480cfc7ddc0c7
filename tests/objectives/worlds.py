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


def both_ways(name: str, inverse: str, source: str, target: str, **kind: bool) -> list[Relation]:
    return [
        Relation(name=name, source=source, target=target, inverse=inverse, **kind),
        Relation(name=inverse, source=target, target=source, inverse=name, backward=True, **kind),
    ]


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

"""A small graph with the types, relations and columns of a card, made without its raw files."""

from collections.abc import Mapping

import numpy as np
import polars as pl

from graphrec_pt.core.key import Key
from graphrec_pt.data.build import build
from graphrec_pt.data.card import Card
from graphrec_pt.data.plan import EdgePlan, NodePlan, Plan
from graphrec_pt.data.synthetic import Ints, below
from graphrec_pt.graph.graph import Graph
from graphrec_pt.graph.schema import ColumnKind

NODES, EACH, CATEGORIES, WIDTH = 64, 12, 3, 4
"""Nodes of each type, edges of each source, values of a category, length of a vector."""


def sketch(card: Card) -> Graph:
    """Return a graph that looks like the graph of a card to everything that reads names.

    Its nodes, edges, times, weights and values are drawn at random, all from one fixed key. A
    recipe that fits the sketch finds the types, relations and columns that it names in the data.

    Args:
        card: The card; optional tables count as present.
    """
    key = Key(0).named("sketch")
    planned = {**card.edges, **{name: link.edge(card.nodes) for name, link in card.link.items()}}
    events = {edge.event.partition(".")[0] for edge in card.edges.values() if edge.event}
    tables = {
        f"nodes.{name}": _nodes(
            node.columns, NODES * EACH if name in events else NODES, key.named(name)
        )
        for name, node in card.nodes.items()
    }
    tables |= {f"edges.{name}": _edges(edge, key.named(name)) for name, edge in planned.items()}
    nodes = {
        name: NodePlan(table=f"nodes.{name}", id="id", columns=node.columns, title=node.title)
        for name, node in card.nodes.items()
    }
    edges = {
        name: EdgePlan(
            table=f"edges.{name}",
            source=f"{edge.source_type}.source",
            target=f"{edge.target_type}.target",
            time=None if edge.time is None else "time",
            weight=None if edge.weight is None else "weight",
            columns=edge.columns,
            inverse=edge.inverse,
            interaction=edge.interaction,
            event=edge.event and f"{edge.event.partition('.')[0]}.event",
            duplicates="keep" if edge.time is not None else "first",
        )
        for name, edge in planned.items()
    }
    return build(Plan(nodes=nodes, edges=edges, derive=card.derive), tables)


def _nodes(columns: Mapping[str, ColumnKind], size: int, key: Key) -> pl.DataFrame:
    made = {name: _column(kind, size, key.named(name)) for name, kind in columns.items()}
    return pl.DataFrame({"id": _ids(np.arange(size)), **made})


def _edges(edge: EdgePlan, key: Key) -> pl.DataFrame:
    size = NODES * EACH
    source = np.arange(size) % NODES
    columns = {
        "source": _ids(source),
        "target": _ids(below(NODES, size, key.named("target"))),
        "time": pl.Series(1000 * (1 + np.arange(size) // NODES) + source),
        "weight": pl.Series(1.0 + below(5, size, key.named("weight"))),
        "event": _ids(np.arange(size)),
    }
    made = {name: _column(kind, size, key.named(name)) for name, kind in edge.columns.items()}
    return pl.DataFrame(columns | made)


def _ids(numbers: Ints) -> pl.Series:
    return "n" + pl.Series(numbers).cast(pl.String)


def _column(kind: ColumnKind, size: int, key: Key) -> pl.Series:
    drawn = below(CATEGORIES, size, key)
    if kind == "number":
        return pl.Series(drawn.astype(np.float64))
    if kind == "vector":
        rows = np.arange(size * WIDTH, dtype=np.float32).reshape(size, WIDTH)
        return pl.Series(rows.tolist(), dtype=pl.List(pl.Float32))
    word = "w" + pl.Series(drawn).cast(pl.String)
    return word if kind == "category" else word + " of words"

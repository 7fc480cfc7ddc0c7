"""Answers of a service as plain values: nodes, paths in parts and in words, search results."""

from collections.abc import Sequence
from typing import Any

import polars as pl

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.graph.graph import RAW_ID, Graph
from graphrec_pt.serve.explain import ExplanationPath
from graphrec_pt.serve.recommender import Item, Recommended, Recommender

SHOWN = 50
"""Neighbours of a node that are shown under one relation."""
NOT_REASONS = "a link in the graph, not the model's reason"


def node_view(graph: Graph, node: int) -> dict[str, str]:
    """Return type, raw id and title of a node."""
    return {"type": graph.type_of(node), "id": graph.raw_id(node), "title": graph.title(node)}


def path_view(graph: Graph, path: ExplanationPath, *, decoded: bool = False) -> dict[str, Any]:
    """Return a path as nodes and relations, with a sentence for a person."""
    relations = []
    for name in path.relations:
        relation = graph.schema.relation(name)
        mirrored = relation.backward and relation.inverse is not None
        relations.append({"name": relation.inverse if mirrored else name, "backward": mirrored})
    return {
        "nodes": [node_view(graph, node) for node in path.nodes],
        "relations": relations,
        "score": path.score,
        "words": path.in_words(graph),
        "sentence": sentence(graph, path, decoded=decoded),
    }


def sentence(graph: Graph, path: ExplanationPath, *, decoded: bool = False) -> str:
    """Return a path as a sentence.

    Args:
        graph: The graph of the path.
        path: From a user or an item of the history to a recommended item.
        decoded: Whether the model itself recommended by this path.
    """
    note = "" if decoded else f" ({NOT_REASONS})"
    titles = [graph.title(node) for node in path.nodes]
    if not decoded and len(path.nodes) in (3, 4):
        past, shared, item = titles[-3:]
        owner = f"the history of {titles[0]}" if len(titles) == 4 else "the history"
        kind, name = graph.type_of(path.nodes[-2]), path.relations[-2]
        relation = graph.schema.relation(name)
        verb = relation.inverse if relation.backward and relation.inverse else name
        return f"{item} and {past} of {owner} share the {kind} {shared}, by {verb}{note}."
    return f"{path.in_words(graph)}{note}."


def recommended_view(given: Recommended, recommender: Recommender) -> dict[str, Any]:
    """Return recommendations as plain values."""
    graph, decodes = recommender.history, recommender.predictor.reading.taught.decodes
    shown = given.history[-SHOWN:]
    nodes = graph.node_ids(recommender.item_type, shown).tolist()
    return {
        "user": given.user,
        "by": given.by,
        "history": [
            {"id": raw, "title": graph.title(node)} for raw, node in zip(shown, nodes, strict=True)
        ],
        "history_length": len(given.history),
        "items": [
            {
                **item_view(item),
                "paths": [
                    path_view(graph, path, decoded=decodes and given.user is not None)
                    for path in item.paths
                ],
            }
            for item in given.items
        ],
    }


def item_view(item: Item) -> dict[str, Any]:
    """Return an item as plain values."""
    return {"id": item.id, "title": item.title, "score": item.score}


def neighbours_view(graph: Graph, kind: str, raw: str) -> dict[str, Any]:
    """Return a node with its columns and its neighbours under each relation.

    Raises:
        GraphRecError: For an unknown type or node.
    """
    if kind not in graph.schema.node_names:
        got, hint = repr(kind), "one of " + ", ".join(graph.schema.node_names)
        raise GraphRecError("node", "a node type", got, hint)
    node = graph.node_id(kind, raw)
    row = graph.tables[kind].row(node - graph.nodes(kind).start, named=True)
    columns = {name: _plain(value) for name, value in row.items() if name != RAW_ID}
    groups = []
    for relation in graph.schema.leaving(kind):
        targets = graph.neighbors(node, relation.name)
        if len(targets):
            groups.append(
                {
                    "relation": relation.name,
                    "count": len(targets),
                    "nodes": [node_view(graph, int(each)) for each in targets[-SHOWN:].flip(0)],
                }
            )
    return {**node_view(graph, node), "columns": columns, "neighbours": groups}


def search_view(graph: Graph, text: str, kinds: Sequence[str], limit: int = 20) -> list[Any]:
    """Return nodes whose raw id or title holds a text: first those that are it or begin with it."""
    wanted, found = text.strip().lower(), []
    for kind in kinds:
        table, title = graph.tables[kind], graph.schema.node(kind).title
        names = [pl.col(RAW_ID)]
        if title is not None and title in table.columns:
            names.append(pl.col(title).cast(pl.String).fill_null(""))
        lower = [name.str.to_lowercase() for name in names]
        hit = pl.any_horizontal([name.str.contains(wanted, literal=True) for name in lower])
        first = pl.any_horizontal([name.str.starts_with(wanted) for name in lower]).cast(pl.Int8)
        first += pl.any_horizontal([name == wanted for name in lower]).cast(pl.Int8)
        rows = (
            table.lazy()
            .with_row_index("__row")
            .filter(hit)
            .select("__row", first.alias("__first"))
            .sort("__first", "__row", descending=[True, False])
            .head(limit)
            .collect()
        )
        start = graph.nodes(kind).start
        found += [node_view(graph, start + int(row)) for row in rows["__row"]]
    return found[:limit]


def _plain(value: Any) -> Any:
    """Return a value that JSON holds; vectors are named by their length alone."""
    if isinstance(value, float):
        return float(f"{value:.6g}")  # columns are float32
    if value is None or isinstance(value, str | int | bool):
        return value
    return f"{len(value)} numbers" if hasattr(value, "__len__") else str(value)

"""networkx: a Graph, or a part of one, as a ``MultiDiGraph`` for inspection."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import torch

from graphrec_pt.data.convert.columns import edge_columns
from graphrec_pt.graph.graph import RAW_ID, Graph

if TYPE_CHECKING:
    from networkx import MultiDiGraph


def to_networkx(
    graph: Graph, nodes: Iterable[int] | None = None, *, inverses: bool = False
) -> "MultiDiGraph[int]":
    """Return the graph as a networkx ``MultiDiGraph``.

    Nodes are global ids with ``type``, ``id`` (the raw id), ``title`` and their columns. Edges are
    keyed (relation, edge id) with ``relation``, and ``time``, ``weight`` and extra columns where
    the relation has them. networkx keeps Python objects: mind the size, or ask for a part.

    Args:
        graph: What to convert.
        nodes: Keep these and the edges between them; all by default.
        inverses: Whether to add the edges of inverse relations, which repeat the forward edges.

    Raises:
        GraphRecError: When `nodes` names a node that is not there.
    """
    import networkx

    made: MultiDiGraph[int] = networkx.MultiDiGraph()
    kept = torch.full((graph.num_nodes(),), nodes is None)
    for node in nodes or ():
        graph.type_of(node)  # raises for a node that is not there
        kept[node] = True
    for name in graph.schema.node_names:
        start = graph.nodes(name).start
        local = torch.nonzero(kept[start : graph.nodes(name).stop]).flatten()
        title = graph.schema.node(name).title or RAW_ID
        rows = graph.tables[name][local.numpy()].iter_rows(named=True)
        for node, row in zip((local + start).tolist(), rows, strict=True):
            named = row[RAW_ID] if row[title] is None else row[title]
            made.add_node(node, **{**row, "type": name, "title": named})
    for relation in graph.schema.relations:
        if relation.backward and not inverses:
            continue
        for source, target, edge, attributes in _edge_rows(graph, relation.name, kept):
            key = (relation.name, edge)
            made.add_edge(source, target, key=key, relation=relation.name, **attributes)
    return made


def _edge_rows(graph: Graph, relation: str, kept: torch.Tensor) -> Iterable[tuple[Any, ...]]:
    edges = graph.edges(relation)
    rows = torch.nonzero(kept[edges.source] & kept[edges.target]).flatten()
    columns = {"time": edges.time, "weight": edges.weight}
    attributes = {k: v[rows].tolist() for k, v in columns.items() if v is not None}
    extra = edge_columns(graph, relation, edges.edge[rows])
    attributes |= {} if extra is None else extra.to_dict(as_series=False)
    ends = (edges.source[rows].tolist(), edges.target[rows].tolist(), edges.edge[rows].tolist())
    for place, (source, target, edge) in enumerate(zip(*ends, strict=True)):
        yield source, target, edge, {k: v[place] for k, v in attributes.items()}

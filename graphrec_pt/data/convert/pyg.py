"""PyTorch Geometric: a Graph as ``HeteroData`` and back."""

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import torch

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.data.convert.columns import (
    categories_of,
    column_kind,
    column_tensor,
    edge_columns,
    tensor_column,
)
from graphrec_pt.data.convert.typed import EdgeType, typed_graph
from graphrec_pt.graph.assemble import EdgeList
from graphrec_pt.graph.graph import RAW_ID, Graph
from graphrec_pt.graph.schema import TimeUnit

if TYPE_CHECKING:
    from torch_geometric.data import HeteroData

_CARRIED = ("edge_index", "time", "edge_weight", "edge_id")


def to_pyg(graph: Graph) -> "HeteroData":
    """Return the graph as PyG's ``HeteroData``.

    Node *n* of a type is the type's *n*-th node. ``data[type].id`` holds the raw ids, every
    column is an attribute: numbers ``[n]``, categories as int64 codes ``[n]`` (−1: none; their
    texts in ``data.categories[type][column]``), vectors ``[n, D]``, texts as object arrays.
    Edges of ``data[source, relation, target]`` stand in the order of ``graph.edges(relation)``,
    (source, time), with ``time``, ``edge_weight``, ``edge_id`` (shared by an edge and its
    inverse) and, in the forward direction, extra edge columns.
    """
    from torch_geometric.data import HeteroData

    data = HeteroData()
    categories: dict[str, dict[str, list[str]]] = {}
    for name in graph.schema.node_names:
        data[name].num_nodes = graph.num_nodes(name)
        for column in graph.tables[name]:
            data[name][column.name] = _attribute(column)
            if column_kind(column) == "category":
                categories.setdefault(name, {})[column.name] = categories_of(column)
    data.categories = categories
    for relation in graph.schema.relations:
        edges = graph.edges(relation.name)
        store = data[relation.source, relation.name, relation.target]
        ends = (relation.source, relation.target)
        start = torch.tensor([[graph.nodes(end).start] for end in ends])
        store.edge_index = torch.stack([edges.source, edges.target]) - start  # [2, E_r]
        store.edge_id = edges.edge
        if edges.time is not None:
            store.time = edges.time
        if edges.weight is not None:
            store.edge_weight = edges.weight
        extra = None if relation.backward else edge_columns(graph, relation.name, edges.edge)
        for column in () if extra is None else extra:
            store[column.name] = _attribute(column)
    return data


def from_pyg(
    data: "HeteroData", *, interactions: Collection[str] = (), time_unit: TimeUnit = "s"
) -> Graph:
    """Return PyG's ``HeteroData`` as a graph.

    ``id`` becomes the raw ids (else the row numbers do), ``time`` and ``edge_weight`` the edge
    times and weights, other attributes of one row per node or edge columns. Edge types that
    mirror each other become a relation and its inverse. Edges are sorted by (source, time,
    target), so their order may differ from that of `data`.

    Args:
        data: Nodes and edges.
        interactions: Names of the relations that a split may hold out.
        time_unit: Unit of the edge times.

    Raises:
        GraphRecError: When `data` names nodes that it does not have, or carries fractional times.
    """
    categories = data.to_dict().get("_global_store", {}).get("categories", {})
    tables = {}
    for name in data.node_types:
        store = data[name]
        rows = int(store.num_nodes)
        raw = [str(raw) for raw in store[RAW_ID]] if RAW_ID in store else map(str, range(rows))
        columns = [pl.Series(RAW_ID, raw, dtype=pl.String)]
        for key, values in store.items():
            if key not in ("num_nodes", RAW_ID) and store.is_node_attr(key):
                column = tensor_column(key, values, categories.get(name, {}).get(key))
                columns += [] if column is None else [column]
        tables[name] = pl.DataFrame(columns)
    edges = {kind: _edge_list(kind, data, tables) for kind in data.edge_types}
    return typed_graph(
        tables,
        edges,
        interactions=interactions,
        time_unit=time_unit,
        provenance={"from": "torch_geometric"},
    )


def _attribute(column: pl.Series) -> Any:
    tensor = column_tensor(column)
    if tensor is not None:
        return tensor
    return np.array(column.to_list(), dtype=object)  # PyG can index these, lists it cannot


def _edge_list(kind: EdgeType, data: "HeteroData", tables: dict[str, pl.DataFrame]) -> EdgeList:
    store = data[kind]
    source, target = store.edge_index.cpu().numpy()
    for ids, name in ((source, kind[0]), (target, kind[2])):
        if len(ids) and not 0 <= ids.min() <= ids.max() < len(tables[name]):
            who, got = f"edge_index of {kind}", f"{ids.min()} to {ids.max()}"
            raise GraphRecError(who, f"{name} numbers below {len(tables[name])}", got)
    time = store.time.cpu() if "time" in store else None
    if time is not None and time.is_floating_point() and not torch.equal(time, time.round()):
        raise GraphRecError(f"time of {kind}", "integers", time.dtype, "scaling to milliseconds")
    columns = [
        column
        for key, values in store.items()
        if key not in _CARRIED and store.is_edge_attr(key)
        if (column := tensor_column(key, values)) is not None
    ]
    return EdgeList(
        source,
        target,
        None if time is None else time.long().numpy(),
        store.edge_weight.cpu().float().numpy() if "edge_weight" in store else None,
        pl.DataFrame(columns) if columns else None,
    )

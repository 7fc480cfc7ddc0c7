"""PyTorch Geometric: a Graph as ``HeteroData`` and back."""

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import torch
from torch import Tensor

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.data.convert.columns import (
    TIMES,
    WEIGHTS,
    categories_of,
    column_kind,
    column_tensor,
    edge_columns,
    edge_list,
    node_table,
)
from graphrec_pt.data.convert.typed import EdgeType, typed_graph
from graphrec_pt.graph.assemble import Array
from graphrec_pt.graph.graph import RAW_ID, Graph
from graphrec_pt.graph.schema import TimeUnit

if TYPE_CHECKING:
    from torch_geometric.data import Data, HeteroData

MOST = 2**31
"""Upper limit of the nodes of a type, because each gets a raw id as text."""
SPARSE = 1000
"""Limit of the inferred number of nodes per node that edges name, without a given number."""
_NO_COLUMN = ("edge_index", "adj_t", "adj", "edge_id", "num_nodes")


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
    data: "HeteroData | Data", *, interactions: Collection[str] = (), time_unit: TimeUnit = "s"
) -> Graph:
    """Return PyG's ``HeteroData`` as a graph; a ``Data`` has one node type and one edge type.

    ``id`` becomes the raw ids (else the row numbers do), the first of ``time``, ``edge_time``,
    ``timestamp``, ``edge_timestamp``, ``timestamps`` and ``t`` the edge times, ``edge_weight`` the
    weights, other attributes of one row per node or edge columns. A type without ``num_nodes`` has
    as many nodes as its attributes have rows, else as the edges name. Edge types that mirror each
    other become a relation and its inverse. Edges are sorted by (source, time, target), so their
    order may differ from that of `data`. :func:`~graphrec_pt.data.describe.describe` lists omitted
    attributes, such as the ``edge_label_index`` of ``RandomLinkSplit``.

    Args:
        data: Nodes and edges; with ``edge_index``, or ``adj_t`` in its place.
        interactions: Names of the relations that a split may hold out.
        time_unit: Unit of the edge times.

    Raises:
        GraphRecError: When edges name nodes that `data` does not have, and for invalid times,
            weights or ids.
    """
    hetero = _hetero(data)
    names = list(hetero.node_types)
    names += dict.fromkeys(e for k in hetero.edge_types for e in (k[0], k[2]) if e not in names)
    if not names:
        raise GraphRecError("from_pyg", "nodes", "none")
    notes = list[str]()
    ends = {kind: _ends(kind, hetero[kind]) for kind in hetero.edge_types}
    categories = hetero.to_dict().get("_global_store", {}).get("categories", {})
    tables = {}
    for name in names:
        store = dict(hetero[name].items()) if name in hetero.node_types else {}
        rows = _count(name, store, ends, notes)
        store.pop("num_nodes", None)
        tables[name] = node_table(name, rows, store.items(), categories.get(name, {}), notes)
    edges = {
        kind: edge_list(
            kind,
            ends[kind][:2],
            (len(tables[kind[0]]), len(tables[kind[2]])),
            _edge_attributes(hetero[kind], ends[kind][2]),
            notes,
        )
        for kind in hetero.edge_types
    }
    return typed_graph(
        tables,
        edges,
        interactions=interactions,
        time_unit=time_unit,
        provenance={"from": "torch_geometric", **({"notes": notes} if notes else {})},
    )


def _hetero(data: Any) -> "HeteroData":
    from torch_geometric.data import Data, HeteroData

    if isinstance(data, HeteroData):
        return data
    if not isinstance(data, Data):
        raise GraphRecError("from_pyg", "HeteroData or Data", type(data).__name__)
    if "node_type" in data and "edge_type" in data and hasattr(data, "_edge_type_names"):
        return data.to_heterogeneous()
    made = HeteroData()
    for key, values in data.to_dict().items():
        of_edges = key.startswith("adj") or key in WEIGHTS or key in TIMES or "edge" in key
        made[("node", "to", "node") if of_edges else "node"][key] = values
    return made


def _ends(kind: EdgeType, store: Any) -> tuple[Array, Array, Tensor | None]:
    """Return both ends of the edges of a type, and the values of a matrix that holds them."""
    who, values = f"edge_index of {kind}", None
    if "edge_index" in store:
        index = torch.as_tensor(store.edge_index)
    elif (turned := "adj_t" in store) or "adj" in store:
        from torch_geometric.utils import to_edge_index

        index, values = to_edge_index(store.adj_t if turned else store.adj)
        index = index.flip(0) if turned else index
        values = None if values is None or bool((values == 1).all()) else values
    else:
        raise GraphRecError(who, "an edge_index or adj_t", ", ".join(store.keys()) or "nothing")
    if index.dim() != 2 or len(index) != 2:
        raise GraphRecError(who, "the shape 2×E", "×".join(map(str, index.shape)))
    if index.layout != torch.strided:
        raise GraphRecError(who, "a dense tensor", index.layout, "edge_index.to_dense()")
    if (index.is_floating_point() and index.numel()) or index.is_complex():
        raise GraphRecError(who, "integers", index.dtype)
    source, target = index.detach().cpu().long().numpy()
    return source, target, values


def _count(
    name: str,
    store: Mapping[str, Any],
    ends: Mapping[EdgeType, tuple[Array, Array, Any]],
    notes: list[str],
) -> int:
    """Return the number of nodes of a type: as given, else by its attributes, else by its edges."""
    if store.get("num_nodes") is not None:
        try:
            rows = int(store["num_nodes"])
        except (TypeError, ValueError, RuntimeError) as error:
            raise GraphRecError(f"num_nodes of {name!r}", "a number", error) from error
        if not 0 <= rows < MOST:
            raise GraphRecError(f"num_nodes of {name!r}", f"a number below {MOST:,}", rows)
        return rows
    lengths = {key: len(v) for key, v in store.items() if getattr(v, "shape", None) or _listed(v)}
    for key in (RAW_ID, "x", "feat", *lengths):
        if key in lengths:
            return lengths[key]
    named = [e[at] for kind, e in ends.items() for at in (0, 1) if kind[2 * at] == name]
    rows = max((int(ids.max(initial=-1)) for ids in named), default=-1) + 1
    if rows > SPARSE * (1000 + sum(len(ids) for ids in named)):
        hint = f"data[{name!r}].num_nodes, or numbers from 0 without gaps"
        who = f"edge_index of {name!r}"
        raise GraphRecError(who, "numbers of nodes that are there", rows, hint)
    notes.append(f"{name}: no num_nodes; taken to be {rows:,}, as far as the edges name them")
    return rows


def _listed(values: Any) -> bool:
    return isinstance(values, list | tuple)


def _edge_attributes(store: Any, values: Tensor | None) -> dict[str, Any]:
    kept = {key: each for key, each in store.items() if key not in _NO_COLUMN}
    return kept if values is None else {"edge_weight": values, **kept}


def _attribute(column: pl.Series) -> Any:
    tensor = column_tensor(column)
    if tensor is not None:
        return tensor
    return np.array(column.to_list(), dtype=object)  # PyG can index these, lists it cannot

"""Build a graph from the typed edge lists of another library; the schema is inferred."""

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl

from graphrec_pt.core.errors import GraphRecError, did_you_mean
from graphrec_pt.data.convert.columns import column_kind
from graphrec_pt.graph.assemble import Array, EdgeList, assemble, fingerprint
from graphrec_pt.graph.graph import RAW_ID, Graph
from graphrec_pt.graph.schema import NodeType, Relation, Schema, TimeUnit
from graphrec_pt.kernels.fill import order

EdgeType = tuple[str, str, str]
"""(source type, relation, target type), as PyG and DGL name relations."""


def typed_graph(
    tables: Mapping[str, pl.DataFrame],
    edges: Mapping[EdgeType, EdgeList],
    *,
    interactions: Collection[str] = (),
    time_unit: TimeUnit = "s",
    provenance: Mapping[str, Any] | None = None,
) -> Graph:
    """Return the graph of typed edge lists.

    A relation name that several edge types share becomes ``source_name_target``. Two edge types
    that hold the same edges in opposite directions become a relation and its inverse, whatever
    their names, so that a split hides both.

    Args:
        tables: Node type → columns, ``id`` first; the order fixes the id ranges.
        edges: Edge type → edges, numbered inside the node types.
        interactions: Names of the relations that a split may hold out.
        time_unit: Unit of the edge times.
        provenance: Where the graph comes from.

    Raises:
        GraphRecError: When `interactions` names a relation that is not there.
    """
    names = unique_names(edges)
    inverse = _inverse_pairs(edges, names, interactions)
    if unknown := [name for name in interactions if name not in names.values()]:
        hint = did_you_mean(unknown[0], names.values())
        raise GraphRecError("interactions", "names of relations", repr(unknown[0]), hint)
    backward = set(inverse.values())
    relations = []
    for kind, name in names.items():
        if kind in backward:
            continue
        forward = Relation(
            name=name,
            source=kind[0],
            target=kind[2],
            inverse=names[inverse[kind]] if kind in inverse else None,
            timed=edges[kind].time is not None,
            weighted=edges[kind].weight is not None,
            interaction=name in interactions,
        )
        relations.append(forward)
        if forward.inverse:
            relations.append(_mirrored(forward, forward.inverse))
    nodes = tuple(_node_type(name, table) for name, table in tables.items())
    schema = Schema(nodes=nodes, relations=tuple(relations), time_unit=time_unit)
    lists = {names[kind]: edges[kind] for kind in names if kind not in backward}
    made = assemble(schema, [len(table) for table in tables.values()], lists)
    graph = Graph(
        schema,
        made.csr,
        tables,
        made.edge_tables,
        made.edge_offset,
        edge_ids=made.edge_ids,
        provenance=dict(provenance or {}),
    )
    return replace(graph, fingerprint=fingerprint(graph))


def unique_names(kinds: Collection[EdgeType]) -> dict[EdgeType, str]:
    """Return a unique name for every edge type: that of its relation, if no other has it."""
    shared = Counter(relation for _, relation, _ in kinds)
    names = {kind: kind[1] for kind in kinds if shared[kind[1]] == 1}
    for kind in kinds:
        name = "_".join(kind)
        while kind not in names and name in names.values():
            name += "_"
        names.setdefault(kind, name)
    return {kind: names[kind] for kind in kinds}


def _node_type(name: str, table: pl.DataFrame) -> NodeType:
    columns = {c.name: column_kind(c) for c in table if c.name != RAW_ID}
    named = [c for c in ("title", "name") if columns.get(c) == "text"]
    return NodeType(name=name, columns=columns, title=named[0] if named else None)


def _mirrored(forward: Relation, name: str) -> Relation:
    ends = {"source": forward.target, "target": forward.source}
    back = {"name": name, "inverse": forward.name, "backward": True}
    return forward.model_copy(update=ends | back)


def _inverse_pairs(
    edges: Mapping[EdgeType, EdgeList],
    names: Mapping[EdgeType, str],
    interactions: Collection[str],
) -> dict[EdgeType, EdgeType]:
    """Return forward → backward for edge types that mirror each other edge by edge."""
    # Forward candidates first: named interactions, then what is not called rev_….
    kinds = sorted(edges, key=lambda k: (names[k] not in interactions, k[1].startswith("rev_")))
    pairs: dict[EdgeType, EdgeType] = {}
    paired: set[EdgeType] = set()
    for kind in kinds:
        opposite = [k for k in kinds if k != kind and (k[2], k[0]) == (kind[0], kind[2])]
        for other in sorted(opposite, key=lambda k: k[1] != f"rev_{kind[1]}"):
            if paired & {kind, other}:
                continue
            if _mirrors(edges[kind], edges[other], by_name=other[1] == f"rev_{kind[1]}"):
                pairs[kind] = other
                paired |= {kind, other}
    return pairs


def _mirrors(one: EdgeList, two: EdgeList, *, by_name: bool) -> bool:
    if len(one.source) != len(two.source):
        return False
    if not len(one.source):
        return by_name
    mine: list[Array] = [one.source, one.target]
    theirs: list[Array] = [two.target, two.source]
    if one.time is not None and two.time is not None:
        mine.append(one.time)
        theirs.append(two.time)
    if one.weight is not None and two.weight is not None:
        mine.append(one.weight.view(np.int32))  # equal bits; integers are what `order` sorts
        theirs.append(two.weight.view(np.int32))
    at, to = order(*mine), order(*theirs)
    return all(np.array_equal(a[at], b[to]) for a, b in zip(mine, theirs, strict=True))

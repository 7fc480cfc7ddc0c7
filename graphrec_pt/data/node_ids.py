"""Which nodes a plan makes, and the id of each."""

from collections.abc import Mapping
from functools import partial

import numpy as np
import polars as pl

from graphrec_pt.core.key import Key, permutation
from graphrec_pt.data.kcore import k_core
from graphrec_pt.data.numbering import UNKNOWN, Codes, Numbering, number
from graphrec_pt.data.plan import EdgePlan, Plan
from graphrec_pt.data.rows import EVENT, SOURCE, TARGET, check_id_type
from graphrec_pt.data.tables import Table
from graphrec_pt.graph.assemble import EdgeList


def number_nodes(
    plan: Plan,
    edges: Mapping[str, EdgePlan],
    rows: Mapping[str, pl.DataFrame],
    tables: Mapping[str, Table],
) -> tuple[dict[str, Numbering], dict[str, pl.DataFrame]]:
    """Number the nodes of every type; also return the rows that describe them."""
    numbered, details = {}, {}
    for name, node in plan.nodes.items():
        described: list[pl.Series] = []
        if node.table is not None and node.table in tables:
            who, column = f"nodes.{name}", node.id or "id"
            for needed in (column, *node.columns):
                tables[node.table].require(needed, who)
            check_id_type(who, column, tables[node.table].frame.collect_schema()[column])
            wanted = [pl.col(column).alias("id"), *(pl.col(c) for c in node.columns)]
            details[name] = tables[node.table].collect(partial(_select, columns=wanted))
            described.append(details[name]["id"])
        mentioned = [
            rows[relation][end]
            for relation, edge in edges.items()
            for end, type_ in edge_ends(edge).items()
            if type_ == name
        ]
        unknown = node.unknown or ("error" if described else "add")
        if unknown == "add" or not described:
            described += mentioned
        if described:
            # Both sides must agree on the type, or "7" and 7 would be different nodes.
            numbered[name] = number([*described, *(m.head(0) for m in mentioned)])
    return numbered, details


def _select(frame: pl.LazyFrame, columns: list[pl.Expr]) -> pl.LazyFrame:
    return frame.select(columns)


def edge_ends(edge: EdgePlan) -> dict[str, str]:
    """Return the row columns that hold node ids, each with its node type."""
    ends = {SOURCE: edge.source_type, TARGET: edge.target_type}
    return ends | ({EVENT: edge.event.partition(".")[0]} if edge.event else {})


def renumbering(
    plan: Plan,
    edges: Mapping[str, EdgePlan],
    lists: Mapping[str, EdgeList],
    numbered: Mapping[str, Numbering],
    seed: int | None,
) -> dict[str, Codes]:
    """Return code → id for every node type, −1 for nodes outside the k-core."""
    survives = {name: np.ones(len(numbering), bool) for name, numbering in numbered.items()}
    if plan.core:
        edge, listed = edges[plan.core.relation], lists[plan.core.relation]
        kinds = edge.source_type, edge.target_type
        sizes = len(numbered[kinds[0]]), len(numbered[kinds[1]])
        least = plan.core.source, plan.core.target
        for kind, mask in zip(
            kinds, k_core(listed.source, listed.target, sizes, least), strict=True
        ):
            survives[kind] &= mask
    ids: dict[str, Codes] = {}
    for name, mask in survives.items():
        n = int(mask.sum())
        places = np.arange(n)
        if seed is not None:
            places = permutation(Key(seed).named(f"permute.{name}"), n)
        ids[name] = np.full(len(mask), UNKNOWN, np.int64)
        ids[name][mask] = places
    return ids

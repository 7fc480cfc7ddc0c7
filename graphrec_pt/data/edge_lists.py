"""Edges of one relation as integers: raw ids replaced, duplicates merged, a k-core kept."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import polars as pl

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.core.printable import counted
from graphrec_pt.data.ids import UNKNOWN, IdCodes, Numbering, alike_hint, differences
from graphrec_pt.data.plan import Duplicates, EdgePlan, Plan
from graphrec_pt.data.problems import Problems, shown
from graphrec_pt.data.rows import EVENT, SOURCE, TARGET, TIME, WEIGHT, edge_ends, id_places
from graphrec_pt.data.tables import Table
from graphrec_pt.graph.assemble import EdgeList
from graphrec_pt.kernels.fill import order

Mask = npt.NDArray[np.bool_]


def edge_list(
    name: str,
    edge: EdgePlan,
    rows: pl.DataFrame,
    numbered: Mapping[str, Numbering],
    plan: Plan,
    tables: Mapping[str, Table],
    problems: Problems,
) -> EdgeList:
    """Return edges with codes for raw ids; drop or refuse dangling ends, merge duplicates."""
    codes = {end: numbered[type_].codes(rows[end]) for end, type_ in edge_ends(edge).items()}
    keep = np.ones(len(rows), bool)
    for end, type_ in edge_ends(edge).items():
        dangling = codes[end] == UNKNOWN
        if end == EVENT:
            dangling &= rows[end].is_not_null().to_numpy()
        if dangling.any():
            node = plan.nodes[type_]
            lost = rows[end].filter(pl.Series(dangling)).unique(maintain_order=True)
            examples = id_places(name, edge, tables[edge.table], end, lost.head(4))
            hint = f"`unknown: add` or `unknown: drop` for node type {type_!r}"
            text = lost.cast(pl.String), numbered[type_].ids.cast(pl.String)
            if alike := next(differences(*text), None):
                column = {SOURCE: edge.source, TARGET: edge.target}.get(end, edge.event or "")
                column = column.partition(".")[2]
                longer = len(alike[1]) > len(alike[2])
                place = (column, edge.table) if longer else (node.id or "id", node.table or "")
                hint = alike_hint(alike[0], *place)
                hint += f", for {shown(alike[1])} is {shown(alike[2])} there"
            problems.meet(
                f"edges.{name}",
                f"{type_} ids that table {node.table!r} knows",
                int(dangling.sum()),
                examples or [shown(raw) for raw in lost.head(4)],
                drop=node.unknown == "drop",
                hint=hint,
            )
            keep &= ~dangling
    extra = rows.select(edge.columns.keys())
    if EVENT in codes:
        extra = pl.DataFrame([*extra.get_columns(), pl.Series("event", codes[EVENT])])
    listed = EdgeList(
        codes[SOURCE],
        codes[TARGET],
        rows[TIME].to_numpy() if TIME in rows.columns else None,
        rows[WEIGHT].to_numpy() if WEIGHT in rows.columns else None,
        extra if extra.width else None,
    )
    kept = listed if keep.all() else listed.take(keep)
    merged = merge_duplicates(name, kept, edge.merge)
    fewer = len(kept.source) - len(merged.source)
    if fewer and (edge.interaction or edge.weight):
        problems.note(
            f"edges.{name}: {counted(fewer, 'edge')} merged into others of the same ends "
            f"(`duplicates: {edge.merge}`)"
        )
    return merged


def merge_duplicates(name: str, listed: EdgeList, how: Duplicates) -> EdgeList:
    """Merge edges with equal ends.

    Args:
        name: The relation, for errors.
        listed: Its edges.
        how: ``keep`` them all; keep the ``first`` or ``last`` in time; ``sum`` the weights (or
            count, where there are none) into the first; ``error``.

    Raises:
        GraphRecError: When there are duplicates and `how` is ``error``.
    """
    if how == "keep" or not len(listed.source):
        return listed
    keys = [listed.source, listed.target, *([] if listed.time is None else [listed.time])]
    rows = order(*keys)
    source, target = listed.source[rows], listed.target[rows]
    starts = np.ones(len(rows), bool)
    starts[1:] = (source[1:] != source[:-1]) | (target[1:] != target[:-1])
    if starts.all() and (how != "sum" or listed.weight is not None):
        return listed
    if how == "error" and not starts.all():
        raise GraphRecError(
            f"edges.{name}",
            "no duplicate edges",
            f"{int((~starts).sum()):,}",
            "`duplicates: first`, `last`, `sum` or `keep`",
        )
    places = np.flatnonzero(starts)
    if how == "last":
        return listed.take(rows[np.append(places[1:], len(rows)) - 1])
    merged = listed.take(rows[places])
    if how == "sum":
        weight = np.ones(len(rows), np.float32) if listed.weight is None else listed.weight[rows]
        merged = replace(merged, weight=np.add.reduceat(weight, places).astype(np.float32))
    return merged


def k_core(
    source: npt.NDArray[np.integer],
    target: npt.NDArray[np.integer],
    counts: tuple[int, int],
    least: tuple[int, int],
) -> tuple[Mask, Mask]:
    """Return which source and target nodes survive (Seidman 1983, for two node types).

    Args:
        source: Integers ``[E]`` below ``counts[0]``.
        target: Integers ``[E]`` below ``counts[1]``.
        counts: Number of source and target nodes.
        least: Edges that a source and a target node must keep.

    Returns:
        Two bool arrays, ``[counts[0]]`` and ``[counts[1]]``.
    """
    keep_source, keep_target = np.ones(counts[0], bool), np.ones(counts[1], bool)
    while True:
        inside = keep_source[source] & keep_target[target]
        enough_source = np.bincount(source[inside], minlength=counts[0]) >= least[0]
        enough_target = np.bincount(target[inside], minlength=counts[1]) >= least[1]
        if (enough_source >= keep_source).all() and (enough_target >= keep_target).all():
            return keep_source, keep_target
        keep_source &= enough_source
        keep_target &= enough_target


def renumbered(listed: EdgeList, edge: EdgePlan, ids: Mapping[str, IdCodes]) -> EdgeList:
    """Return edges with the ids of their ends in place of codes, without those of lost nodes."""
    narrow = [i.astype(np.int32) if len(i) < 2**31 else i for i in ids.values()]
    local = dict(zip(ids, narrow, strict=True))
    source, target = local[edge.source_type][listed.source], local[edge.target_type][listed.target]
    columns = listed.columns
    if edge.event and columns is not None:
        events = np.append(ids[edge.event.partition(".")[0]], UNKNOWN)
        columns = columns.with_columns(pl.Series("event", events[columns["event"].to_numpy()]))
    made = EdgeList(source, target, listed.time, listed.weight, columns)
    inside = (source >= 0) & (target >= 0)
    return made if inside.all() else made.take(inside)

"""Next week's rows on a saved graph, without reading the files of the weeks before.

The rows that a graph was made from are still in it: ids, times, weights and columns. They are put
together with the new ones, and numbered and laid out again, because node ids are a permutation of
all raw ids. The result is the graph of a build from all files, to the fingerprint. What is saved is
the reading, parsing and checking of old files; the cost is one pass over the edges.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.core.key import Key, permutation
from graphrec_pt.core.scratch import scratch_folder
from graphrec_pt.data.build import Progress, assembled
from graphrec_pt.data.card import Card
from graphrec_pt.data.plan import EdgePlan, NodePlan
from graphrec_pt.data.problems import Problems
from graphrec_pt.data.rows import EVENT, SOURCE, TARGET, TIME, WEIGHT, edge_rows, needed_columns
from graphrec_pt.data.tables import Table, frame_table, open_table
from graphrec_pt.graph.graph import RAW_ID, Graph
from graphrec_pt.graph.store import save_graph


def append(
    graph: Graph,
    card: Card,
    raw: str | Path,
    *,
    out: str | Path | None = None,
    progress: Progress | None = None,
) -> Graph:
    """Return a graph with the rows of new files added to those that it was built from.

    A table that the new files lack has no new rows. A node that the graph has keeps its columns.

    Args:
        graph: The whole graph that the card built, not a view of a split.
        card: Its card.
        raw: Folder of the new files alone.
        out: Folder to save to; the graph returned is then memory-mapped from there.
        progress: Called before each step.

    Raises:
        GraphRecError: For a card with quantiles or a k-core, which need the rows that a build left
            out; when no new file is there, and when rows cannot be used.

    Example:
        >>> later = append(open_graph("graphs/shop"), load_card("shop.yaml"), "week-2")
        >>> later.num_edges("buys")
        11
    """
    _require_rebuildable(graph, card)
    problems, cache = Problems(), dict[Any, Any]()
    place = Path(raw).parent if out is None else Path(out).parent
    with scratch_folder(place) as scratch:
        new: dict[str, Table] = {}
        for name, plan in card.tables.items():
            optional = plan.model_copy(update={"optional": True})
            table = open_table(name, optional, Path(raw), scratch, problems, cache, new)
            if table is not None:
                new[name] = table
        if not any(edge.table in new for edge in card.edges.values()):
            files = ", ".join(str(table.file) for table in card.tables.values() if table.file)
            raise GraphRecError(str(raw), f"one of the files of the card ({files})", "none")
        problems.settle()
        return _appended(graph, card, new, problems, out, progress or _silent)


def _appended(
    graph: Graph,
    card: Card,
    new: dict[str, Table],
    problems: Problems,
    out: str | Path | None,
    tell: Progress,
) -> Graph:
    seed = graph.provenance.get("permutation_seed")
    raw_ids = {kind: _raw_ids(graph, kind, seed) for kind in graph.schema.node_names}
    known = set(graph.schema.relation_names)
    edges = {
        name: edge.of_table(new[edge.table].columns) if edge.table in new else edge
        for name, edge in card.edges.items()
        if name in known or edge.table in new
    }
    rows: dict[str, pl.DataFrame] = {}
    tables = dict(new)
    for name, edge in edges.items():
        if edge.table not in tables:
            columns = dict.fromkeys(needed_columns(edge), pl.String())
            tables[edge.table] = frame_table(edge.table, pl.DataFrame(schema=columns))
        parts = [_old_rows(graph, name, edge, raw_ids)] if name in known else []
        if edge.table in new:
            made = edge_rows(name, edge, new[edge.table], problems, card.time_unit)
            parts.append(made)
        rows[name] = _together(parts)
    problems.settle()
    for kind, node in card.nodes.items():
        if node.table is None or kind not in graph.schema.node_names:
            continue
        before = set(graph.tables[kind].columns)
        if not node.columns or before & node.columns.keys():  # else its table was absent before
            tables[node.table] = _described(graph, kind, node, raw_ids[kind], new.get(node.table))
    made_graph = assembled(card, edges, rows, tables, problems, seed, tell)
    provenance = {**graph.provenance, **made_graph.provenance}
    provenance["notes"] = [*graph.provenance.get("notes", []), *problems.notes]
    made_graph = replace(made_graph, provenance=provenance)
    return made_graph if out is None else save_graph(made_graph, out)


def _require_rebuildable(graph: Graph, card: Card) -> None:
    """Raise for what cannot be added to without the old files."""
    hint = "`graphrec data build` from all files"
    if graph.provenance.get("split"):
        raise GraphRecError("append", "the whole graph", "a view of a split", hint)
    if card.core is not None:
        raise GraphRecError("append", "a card without `core`", "a k-core", hint)
    for name, edge in card.edges.items():
        if edge.quantiles:
            raise GraphRecError("append", "a card without `quantiles`", f"those of {name!r}", hint)
    tables = [node.table for node in card.nodes.values() if node.table is not None]
    for table in tables:
        if tables.count(table) > 1:
            got = f"{table!r} for several"
            raise GraphRecError("append", "a table for each described node type", got, hint)


def _raw_ids(graph: Graph, kind: str, seed: int | None) -> pl.Series:
    """Return the raw ids of a node type by node, as the type that the build numbered.

    Whole numbers and text sort differently, and the saved order tells which of them it was.
    """
    ids = graph.tables[kind][RAW_ID].cast(pl.String)
    if not len(ids) or not ids.str.contains(r"^(0|-?[1-9]\d{0,17})$").all():
        return ids
    numbers = ids.cast(pl.Int64)
    order = np.arange(len(ids))
    if seed is not None:
        order = permutation(Key(seed).named(f"permute.{kind}"), len(ids))
    restored = pl.Series(np.asarray(order))
    return numbers if numbers.gather(restored).is_sorted() else ids


def _old_rows(
    graph: Graph, name: str, edge: EdgePlan, raw_ids: Mapping[str, pl.Series]
) -> pl.DataFrame:
    """Return the edges of a relation as the rows that they were made from."""
    listed, relation = graph.edges(name), graph.schema.relation(name)
    source = (listed.source - graph.nodes(relation.source).start).numpy()
    target = (listed.target - graph.nodes(relation.target).start).numpy()
    columns = [
        raw_ids[relation.source].gather(source).alias(SOURCE),
        raw_ids[relation.target].gather(target).alias(TARGET),
    ]
    if listed.time is not None:
        columns.append(pl.Series(TIME, listed.time.numpy()))
    if listed.weight is not None:
        columns.append(pl.Series(WEIGHT, listed.weight.numpy()))
    if name in graph.edge_tables:
        at = (listed.edge - graph.edge_offset[name]).numpy()
        table = graph.edge_tables[name][at]
        columns += [table[column] for column in edge.columns if column in table.columns]
        if relation.event is not None and "event" in table.columns:
            event = table["event"].cast(pl.Int64)
            place = pl.DataFrame({"node": event.set(event < 0, None)})
            ids = raw_ids[relation.event].to_frame("raw").with_row_index("node")
            ids = ids.with_columns(pl.col("node").cast(pl.Int64))
            found = place.join(ids, on="node", how="left", maintain_order="left")["raw"]
            columns.append(found.alias(EVENT))
    return pl.DataFrame(columns)


def _described(
    graph: Graph, kind: str, node: NodePlan, raw_ids: pl.Series, new: Table | None
) -> Table:
    """Return the table of a node type: what the graph knows, then the new rows."""
    column = node.id or "id"
    table = graph.tables[kind]
    held = [table[name] for name in node.columns if name in table.columns]
    old = pl.DataFrame([raw_ids.alias(column), *held])
    assert node.table is not None
    if new is None:
        return frame_table(node.table, old)
    rows = new.frame.collect()
    if rows[column].dtype != old[column].dtype:
        rows = rows.with_columns(pl.col(column).cast(pl.String))
        old = old.with_columns(pl.col(column).cast(pl.String))
    # An id that only edges mentioned has no columns; a new row may describe it now.
    bare = [pl.col(each.name).is_null() for each in held]
    again = pl.col(column).is_in(rows[column].unique().implode())
    old = old.filter(~pl.all_horizontal(again, *bare))
    return frame_table(node.table, _together([old, rows]))


def _together(parts: list[pl.DataFrame]) -> pl.DataFrame:
    """Return rows one below the other; columns that both have get one type."""
    shared = set.intersection(*(set(part.columns) for part in parts))
    for name in shared:
        kinds = {part[name].dtype for part in parts if len(part)}
        if len(kinds) > 1 and pl.String in {kind.base_type() for kind in kinds}:
            parts = [part.with_columns(pl.col(name).cast(pl.String)) for part in parts]
    return pl.concat(parts, how="diagonal_relaxed")


def _silent(step: str, done: int, total: int) -> None:
    """Report nothing."""

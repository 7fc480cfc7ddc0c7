"""Build a typed graph from tables, or from the raw files of a card."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from tempfile import gettempdir
from typing import Any

import numpy as np
import polars as pl

from graphrec_pt.core.errors import ConfigErrors, GraphRecError, raise_all
from graphrec_pt.core.registry import config_of
from graphrec_pt.core.scratch import LOCK, locked, scratch_folder, writing
from graphrec_pt.data.card import Card
from graphrec_pt.data.edge_lists import edge_list, renumbered
from graphrec_pt.data.ids import IdCodes, Numbering
from graphrec_pt.data.nodes import (
    node_table,
    number_nodes,
    renumbering,
)
from graphrec_pt.data.plan import EdgePlan, Plan, planned_schema
from graphrec_pt.data.problems import Problems
from graphrec_pt.data.rows import edge_ends, edge_rows, needed_columns
from graphrec_pt.data.tables import Table, frame_table, open_table
from graphrec_pt.data.text_links import linked_rows
from graphrec_pt.graph.assemble import EdgeList, assemble, fingerprint
from graphrec_pt.graph.graph import Graph
from graphrec_pt.graph.protocol import SPLIT_OF_CARD
from graphrec_pt.graph.store import check_target, save_graph

Progress = Callable[[str, int, int], None]
"""Called with the name of the current step, the number of finished steps, and the total."""


def build(
    plan: Plan | Mapping[str, Any],
    tables: Mapping[str, Any],
    *,
    seed: int | None = 0,
    out: str | Path | None = None,
    progress: Progress | None = None,
) -> Graph:
    """Build a graph from data frames.

    Args:
        plan: Nodes and edges, as in a card; a mapping is validated first.
        tables: Table name → any frame that speaks Arrow (polars, pandas, pyarrow).
        seed: Of the permutation of node ids; None keeps sorted raw ids, which may leak order.
        out: Folder to save to; the graph returned is then memory-mapped from there.
        progress: Called before each step.

    Raises:
        GraphRecError: When plan and tables do not fit, or rows cannot be used.

    Example:
        >>> clicks = pl.DataFrame({"user": ["ann", "ann", "bob"], "item": ["tea", "milk", "tea"]})
        >>> clicked = {"table": "clicks", "source": "user.user", "target": "item.item"}
        >>> plan = {"nodes": {"user": {}, "item": {}}, "edges": {"clicked": clicked}}
        >>> build(plan, {"clicks": clicks}).num_edges("clicked")
        3
    """
    checked = plan if isinstance(plan, Plan) else Plan.checked(plan, "plan")
    if not isinstance(tables, Mapping):
        raise GraphRecError("build", "tables by name", type(tables).__name__, "{'NAME': frame}")
    if out is not None:
        check_target(Path(out))
    problems = Problems()
    opened: dict[str, Table] = {}
    for name, frame in tables.items():
        with _collected(problems):
            opened[name] = frame_table(name, frame)
    problems.settle()
    with _only_builder(out):
        graph = _build(checked, opened, problems, seed, progress or _silent)
        return graph if out is None else save_graph(graph, out)


def build_card(
    card: Card,
    raw: str | Path | None = None,
    *,
    seed: int | None = 0,
    out: str | Path | None = None,
    progress: Progress | None = None,
) -> Graph:
    """Build the graph of a dataset card from a folder of raw files.

    Args:
        card: The card.
        raw: Folder (or archive) with the raw files in their official layout; not needed when
            the card holds its tables itself.
        seed: Of the permutation of node ids; None keeps sorted raw ids, which may leak order.
        out: Folder to save to; the graph returned is then memory-mapped from there.
        progress: Called before each step.

    Raises:
        GraphRecError: When a file is missing or damaged, or rows cannot be used.
    """
    files = any(table.file for table in card.tables.values())
    if files and (raw is None or not Path(raw).exists()):
        raise GraphRecError(card.name, "a folder of raw files", str(raw), "checking --raw")
    tell = progress or _silent
    problems, cache = Problems(), dict[Any, Any]()
    with _only_builder(out), _scratch(out) as scratch:
        opened: dict[str, Table] = {}
        for place, (name, plan) in enumerate(card.tables.items()):
            tell(f"reading {name}", place, len(card.tables))
            folders = Path(raw or scratch), scratch
            table = None
            with _collected(problems):
                table = open_table(name, plan, *folders, problems, cache, opened)
            if table is not None:
                opened[name] = table
        problems.settle()
        graph = _build(card, opened, problems, seed, tell)
        provenance = {"card": card.name, **graph.provenance, "unexpected": _unexpected(card, graph)}
        if card.split is not None:
            provenance[SPLIT_OF_CARD] = config_of(card.split)
        provenance["notes"] = [*dict.fromkeys(problems.copies), *problems.notes]
        graph = replace(graph, provenance=provenance)
        return graph if out is None else save_graph(graph, out)


def _build(
    plan: Plan,
    tables: Mapping[str, Table],
    problems: Problems,
    seed: int | None,
    tell: Progress,
) -> Graph:
    edges = _fitting(plan, tables)
    steps = len(edges) + 3
    rows: dict[str, pl.DataFrame] = {}
    for place, (name, edge) in enumerate(edges.items()):
        tell(f"edges {name}", place, steps)
        with _collected(problems):
            rows[name] = edge_rows(name, edge, tables[edge.table], problems, plan.time_unit)
    if len(rows) < len(edges):
        problems.settle()
    return assembled(plan, edges, rows, tables, problems, seed, tell)


def assembled(
    plan: Plan,
    edges: Mapping[str, EdgePlan],
    rows: dict[str, pl.DataFrame],
    tables: Mapping[str, Table],
    problems: Problems,
    seed: int | None,
    tell: Progress,
) -> Graph:
    """Return the graph of edge rows: number the nodes, lay out the edges, add node columns.

    Args:
        plan: The plan of the graph.
        edges: Relation → plan, of the relations whose tables exist.
        rows: Relation → rows, see :func:`~graphrec_pt.data.rows.edge_rows`; emptied.
        tables: Tables by name, for node columns and the places of errors.
        problems: Where unusable rows are counted.
        seed: Of the permutation of node ids; None keeps sorted raw ids.
        tell: Called before each step.

    Raises:
        GraphRecError: When rows cannot be used.
    """
    steps = len(edges) + 3
    tell("numbering nodes", steps - 3, steps)
    sizes = {name: len(table) for name, table in rows.items()}
    numbered, details = number_nodes(plan, edges, rows, tables, problems)
    planned = edges
    for name, link in plan.link.items():
        if all(part.partition(".")[0] in details for part in (link.text, link.finds)):
            rows[name] = linked_rows(name, link, details, problems)
            edges = {**edges, name: link.edge(plan.nodes)}
    lists = {
        name: edge_list(name, edge, rows.pop(name), numbered, plan, tables, problems)
        for name, edge in edges.items()
    }
    if problems.refused:  # report errors of node columns too
        every = {name: np.arange(len(numbering)) for name, numbering in numbered.items()}
        _node_tables(plan, numbered, every, details, problems)
        problems.settle()
    _require_interactions(plan, planned, lists, sizes, tables, problems)
    ids = renumbering(plan, edges, lists, numbered, seed, problems)
    counts = [int((ids[name] >= 0).sum()) for name in numbered]
    schema = planned_schema(plan, edges, numbered, details, lists)
    tell("laying out adjacency", steps - 2, steps)
    made = assemble(schema, counts, {n: renumbered(lists.pop(n), edges[n], ids) for n in edges})
    tell("node columns", steps - 1, steps)
    node_tables = _node_tables(plan, numbered, ids, details, problems)
    problems.settle()
    provenance = {
        "permutation_seed": seed,
        "problems": problems.dropped,
        "notes": problems.notes,
        "shared_rows": _shared_rows(edges),
    }
    graph = Graph(schema, made.csr, node_tables, made.edge_tables, made.edge_offset, "", provenance)
    tell("hashing and saving", steps, steps)
    return replace(graph, fingerprint=fingerprint(graph))


@contextmanager
def _collected(problems: Problems) -> Iterator[None]:
    """Collect an error, so that all errors are raised together."""
    try:
        yield
    except ConfigErrors as error:
        problems.refused += error.errors
    except GraphRecError as error:
        problems.refused.append(error)


def _fitting(plan: Plan, tables: Mapping[str, Table]) -> dict[str, EdgePlan]:
    """Return the edge plans whose tables exist.

    Raises:
        GraphRecError: For every table and column of the plan that does not exist.
    """
    errors: list[GraphRecError | None] = []
    for name, node in plan.nodes.items():
        errors.append(_absent(plan, node.table, tables))
        if node.table is not None and node.table in tables:
            table = tables[node.table]
            errors += [table.lacks(c, f"nodes.{name}") for c in (node.id or "id", *node.columns)]
    edges = {}
    for name, edge in plan.edges.items():
        errors.append(_absent(plan, edge.table, tables))
        if edge.table in tables:
            table = tables[edge.table]
            edge = edges[name] = edge.of_table(table.columns)
            errors += [table.lacks(column, f"edges.{name}") for column in needed_columns(edge)]
    by_text = {str(error): error for error in errors if error is not None}
    raise_all(list(by_text.values()))
    raise_all([error for table in tables.values() for error in table.misnamed])
    return edges


def _node_tables(
    plan: Plan,
    numbered: Mapping[str, Numbering],
    ids: Mapping[str, IdCodes],
    details: Mapping[str, pl.DataFrame],
    problems: Problems,
) -> dict[str, pl.DataFrame]:
    made = {}
    for name, numbering in numbered.items():
        with _collected(problems):
            described, node = details.get(name), plan.nodes[name]
            made[name] = node_table(name, numbering, ids[name], described, node, problems)
    return made


def _require_interactions(
    plan: Plan,
    edges: Mapping[str, EdgePlan],
    lists: Mapping[str, EdgeList],
    made: Mapping[str, int],
    tables: Mapping[str, Table],
    problems: Problems,
) -> None:
    """Report relations without edges and the cause; refuse a graph without any interaction."""
    empty = {
        name: table.emptied_by()
        for name, edge in edges.items()
        if not len(lists[name].source)
        for table in [tables[edge.table]]
    }
    interactions = [name for name, edge in edges.items() if edge.interaction]
    gone = interactions and all(name in empty for name in interactions)
    for name, step in empty.items():
        if step is None:  # a table without rows makes no edges
            continue
        edge = edges[name]
        dropping = [t for t in edge_ends(edge).values() if plan.nodes[t].unknown == "drop"]
        if made[name] and dropping:
            cause = f"`unknown: drop` of node type {dropping[0]!r}"
        elif step:
            cause = step
        elif edge.where:
            cause = f"`where: {edge.where}`"
        elif edge.flags:
            cause = f"`flags` ({', '.join(edge.flags.values())})"
        else:
            cause = f"the column {edge.target.partition('.')[2]!r} of table {edge.table!r}"
        if gone and edge.interaction:
            got = f"none; {cause} leaves no row"
            problems.refused.append(
                GraphRecError(f"edges.{name}", "edges", got, "checking that option of the card")
            )
        else:
            problems.note(f"edges.{name}: no edges; {cause} leaves no row")
    problems.settle()


def _shared_rows(edges: Mapping[str, EdgePlan]) -> dict[str, str]:
    """Return which plain relations show rows of an interaction: name → the interaction.

    Relations of its target describe the item and are left out; so are relations of its event node,
    which a split removes with that node.
    """
    shared = {}
    for known, interaction in edges.items():
        for name, edge in edges.items():
            ends = {edge.source_type, edge.target_type}
            if edge.interaction or not interaction.interaction or edge.table != interaction.table:
                continue
            event = interaction.event and interaction.event.partition(".")[0]
            if interaction.source_type in ends and event not in ends:
                shared[name] = known
    return shared


def _absent(plan: Plan, table: str | None, tables: Mapping[str, Table]) -> GraphRecError | None:
    """Return the error for a missing table, unless it is optional in a card."""
    if table is None or table in tables or (isinstance(plan, Card) and table in plan.tables):
        return None
    got = "tables " + ", ".join(tables) if tables else "none"
    return GraphRecError("build", f"a table {table!r}", got)


def _unexpected(card: Card, graph: Graph) -> dict[str, list[int]]:
    """Return the counts that differ from the published ones: name → [published, here]."""
    here = {n: graph.num_nodes(n) for n in graph.schema.node_names}
    here |= {r.name: graph.num_edges(r.name) for r in graph.schema.relations}
    return {n: [want, here.get(n, 0)] for n, want in card.expect.items() if here.get(n, 0) != want}


@contextmanager
def _scratch(out: str | Path | None) -> Iterator[Path]:
    """Yield a scratch folder on the disk of the graph, so that a full disk fails early."""
    if out is not None:
        check_target(Path(out))
    place = Path(gettempdir()) if out is None else Path(out).parent
    with writing(place), scratch_folder(place) as scratch:
        yield scratch


def _only_builder(out: str | Path | None) -> AbstractContextManager[None]:
    """Keep a second process from building a graph in the same folder."""
    if out is None:
        return nullcontext()
    return locked(Path(out).parent / f".{Path(out).name}{LOCK}", Path(out))


def _silent(step: str, done: int, total: int) -> None:
    """Report nothing."""

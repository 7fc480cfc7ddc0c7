"""Tables in, typed graph out."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from tempfile import gettempdir
from typing import Any

import numpy as np
import polars as pl

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.core.registry import config_of
from graphrec_pt.core.scratch import LOCK, locked, scratch_folder, writing
from graphrec_pt.data.card import Card
from graphrec_pt.data.columns import node_table
from graphrec_pt.data.merge import merge_duplicates
from graphrec_pt.data.node_ids import edge_ends, number_nodes, renumbering
from graphrec_pt.data.numbering import UNKNOWN, Codes, Numbering
from graphrec_pt.data.plan import EdgePlan, Plan
from graphrec_pt.data.planned_schema import planned_schema
from graphrec_pt.data.problems import Problems
from graphrec_pt.data.rows import EVENT, SOURCE, TARGET, TIME, WEIGHT, edge_rows
from graphrec_pt.data.tables import Table, frame_table, open_table
from graphrec_pt.graph.assemble import EdgeList, assemble
from graphrec_pt.graph.fingerprint import fingerprint
from graphrec_pt.graph.graph import Graph
from graphrec_pt.graph.protocol import SPLIT_OF_CARD
from graphrec_pt.graph.store import check_target, save_graph

Progress = Callable[[str, int, int], None]
"""Called with what is being done, how many steps are done, and how many there are."""


def build(
    plan: Plan | Mapping[str, Any],
    tables: Mapping[str, Any],
    *,
    seed: int | None = 0,
    out: str | Path | None = None,
    progress: Progress | None = None,
) -> Graph:
    """Build a graph from frames of the user.

    Args:
        plan: Nodes and edges, as in a card; a mapping is validated first.
        tables: Table name → any frame that speaks Arrow (polars, pandas, pyarrow).
        seed: Of the permutation of node ids; None keeps sorted raw ids, which may leak order.
        out: Folder to save to; the graph returned is then memory-mapped from there.
        progress: Told what is being done.

    Raises:
        GraphRecError: When plan and tables do not fit, or rows cannot be used.
    """
    checked = plan if isinstance(plan, Plan) else Plan.checked(plan, "plan")
    if not isinstance(tables, Mapping):
        raise GraphRecError("build", "tables by name", type(tables).__name__, "{'NAME': frame}")
    if out is not None:
        check_target(Path(out))
    opened = {name: frame_table(name, frame) for name, frame in tables.items()}
    with _only_builder(out):
        graph = _build(checked, opened, Problems(), seed, progress or _silent)
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
        progress: Told what is being done.

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
            table = open_table(name, plan, *folders, problems, cache, opened)
            if table is not None:
                opened[name] = table
        graph = _build(card, opened, problems, seed, tell)
        provenance = {"card": card.name, **graph.provenance, "unexpected": _unexpected(card, graph)}
        if card.split is not None:
            provenance[SPLIT_OF_CARD] = config_of(card.split)
        if problems.copies:
            provenance["notes"] = list(dict.fromkeys(problems.copies))
        graph = replace(graph, provenance=provenance)
        return graph if out is None else save_graph(graph, out)


def _build(
    plan: Plan,
    tables: Mapping[str, Table],
    problems: Problems,
    seed: int | None,
    tell: Progress,
) -> Graph:
    for node in plan.nodes.values():
        _present(plan, node.table, tables)
    edges = {
        name: edge.of_table(tables[edge.table].columns)
        for name, edge in plan.edges.items()
        if _present(plan, edge.table, tables)
    }
    steps = len(edges) + 3
    rows: dict[str, pl.DataFrame] = {}
    for place, (name, edge) in enumerate(edges.items()):
        tell(f"edges {name}", place, steps)
        rows[name] = edge_rows(name, edge, tables[edge.table], problems, plan.time_unit)
    tell("numbering nodes", steps - 3, steps)
    numbered, details = number_nodes(plan, edges, rows, tables)
    lists = {n: _edge_list(n, edges[n], rows.pop(n), numbered, plan, problems) for n in edges}
    ids = renumbering(plan, edges, lists, numbered, seed)
    counts = [int((ids[name] >= 0).sum()) for name in numbered]
    schema = planned_schema(plan, edges, numbered, details, lists)
    tell("laying out adjacency", steps - 2, steps)
    made = assemble(schema, counts, {n: _renumber(lists.pop(n), edges[n], ids) for n in edges})
    tell("node columns", steps - 1, steps)
    node_tables = {
        name: node_table(name, numbering, ids[name], details.get(name), plan.nodes[name], problems)
        for name, numbering in numbered.items()
    }
    provenance = {
        "permutation_seed": seed,
        "problems": problems.dropped,
        "shared_rows": _shared_rows(edges),
    }
    graph = Graph(schema, made.csr, node_tables, made.edge_tables, made.edge_offset, "", provenance)
    tell("hashing and saving", steps, steps)
    return replace(graph, fingerprint=fingerprint(graph))


def _shared_rows(edges: Mapping[str, EdgePlan]) -> dict[str, str]:
    """Return which plain relations show rows of an interaction: name → the interaction.

    Those about its target say what an item is; those on its event node leave with that node.
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


def _present(plan: Plan, table: str | None, tables: Mapping[str, Table]) -> bool:
    """Whether a table is there; only an optional one of a card may be absent."""
    if table is None or table in tables:
        return True
    if isinstance(plan, Card) and table in plan.tables:
        return False
    raise GraphRecError("build", f"a table {table!r}", "tables " + ", ".join(tables) or "none")


def _edge_list(
    name: str,
    edge: EdgePlan,
    rows: pl.DataFrame,
    numbered: Mapping[str, Numbering],
    plan: Plan,
    problems: Problems,
) -> EdgeList:
    """Replace raw ids by codes, drop or refuse dangling ends, merge duplicates."""
    codes = {end: numbered[type_].codes(rows[end]) for end, type_ in edge_ends(edge).items()}
    keep = np.ones(len(rows), bool)
    for end, type_ in edge_ends(edge).items():
        dangling = codes[end] == UNKNOWN
        if end == EVENT:
            dangling &= rows[end].is_not_null().to_numpy()
        if dangling.any():
            lost = rows[end].filter(pl.Series(dangling)).unique(maintain_order=True)
            problems.meet(
                f"edges.{name}",
                f"{type_} ids that table {plan.nodes[type_].table!r} knows",
                int(dangling.sum()),
                [repr(raw) for raw in lost.head(4)],
                drop=plan.nodes[type_].unknown == "drop",
                hint=f"`unknown: add` or `unknown: drop` for node type {type_!r}",
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
    return merge_duplicates(name, listed if keep.all() else listed.take(keep), edge.merge)


def _renumber(listed: EdgeList, edge: EdgePlan, ids: Mapping[str, Codes]) -> EdgeList:
    narrow = [i.astype(np.int32) if len(i) < 2**31 else i for i in ids.values()]
    local = dict(zip(ids, narrow, strict=True))
    source, target = local[edge.source_type][listed.source], local[edge.target_type][listed.target]
    columns = listed.columns
    if edge.event and columns is not None:
        events = np.append(ids[edge.event.partition(".")[0]], UNKNOWN)
        columns = columns.with_columns(pl.Series("event", events[columns["event"].to_numpy()]))
    renumbered = EdgeList(source, target, listed.time, listed.weight, columns)
    inside = (source >= 0) & (target >= 0)
    return renumbered if inside.all() else renumbered.take(inside)


def _unexpected(card: Card, graph: Graph) -> dict[str, list[int]]:
    """Return the counts that differ from the published ones: name → [published, here]."""
    here = {n: graph.num_nodes(n) for n in graph.schema.node_names}
    here |= {r.name: graph.num_edges(r.name) for r in graph.schema.relations}
    return {n: [want, here.get(n, 0)] for n, want in card.expect.items() if here.get(n, 0) != want}


@contextmanager
def _scratch(out: str | Path | None) -> Iterator[Path]:
    """Scratch space goes where the graph goes, so that a full disk is met early."""
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

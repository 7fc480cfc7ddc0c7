"""Nodes of a graph: raw ids → integers, the k-core filter, and node columns in id order."""

import re
from collections.abc import Mapping

import numpy as np
import polars as pl

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.core.key import Key, permutation
from graphrec_pt.core.printable import counted
from graphrec_pt.data.edge_lists import Mask, k_core
from graphrec_pt.data.ids import (
    UNKNOWN,
    IdCodes,
    Numbering,
    alike_hint,
    differences,
    distinct,
    number,
)
from graphrec_pt.data.plan import EdgePlan, NodePlan, Plan
from graphrec_pt.data.problems import Problems, shown
from graphrec_pt.data.rows import EVENT, SOURCE, TARGET, check_id_type, edge_ends
from graphrec_pt.data.tables import Table
from graphrec_pt.graph.assemble import EdgeList
from graphrec_pt.graph.graph import RAW_ID
from graphrec_pt.graph.schema import ColumnKind


def number_nodes(
    plan: Plan,
    edges: Mapping[str, EdgePlan],
    rows: Mapping[str, pl.DataFrame],
    tables: Mapping[str, Table],
    problems: Problems,
) -> tuple[dict[str, Numbering], dict[str, pl.DataFrame]]:
    """Number the nodes of every type; also return the rows that describe them.

    Raises:
        GraphRecError: When a column of ids has an unusable type, and when two tables share no id
            because they spell their ids differently.
    """
    numbered, details = {}, {}
    for name, node in plan.nodes.items():
        described: list[pl.Series] = []
        if node.table is not None and node.table in tables:
            table, column = tables[node.table], node.id or "id"
            dtypes = table.frame.collect_schema()
            check_id_type(f"nodes.{name}", column, dtypes, table)
            wanted = [pl.col(column).alias("id"), *(pl.col(c) for c in node.columns)]
            details[name] = _with_ids(table.select(*wanted))
            described.append(details[name]["id"])
        mentioned = [
            rows[relation][end]
            for relation, edge in edges.items()
            for end, type_ in edge_ends(edge).items()
            if type_ == name
        ]
        unknown = node.unknown or ("error" if described else "add")
        known = number([*described, *(m.head(0) for m in mentioned)]) if described else None
        if unknown == "add" or not described:
            described += mentioned
        if described:
            # Both sides must agree on the type, or "7" and 7 would be different nodes.
            numbered[name] = number([*described, *(m.head(0) for m in mentioned)])
            _require_meeting(name, plan, edges, rows, tables, known, numbered[name], problems)
            _tell_odd_ids(name, numbered[name], problems)
    return numbered, details


def _with_ids(described: pl.DataFrame) -> pl.DataFrame:
    """Return the rows with ids that are whole numbers of 64 bits, or text."""
    ids = described["id"]
    if ids.dtype.is_integer() and ids.dtype not in (pl.UInt64, pl.Int128, pl.UInt128):
        return described
    return described.with_columns(pl.col("id").cast(pl.String))


def _require_meeting(
    name: str,
    plan: Plan,
    edges: Mapping[str, EdgePlan],
    rows: Mapping[str, pl.DataFrame],
    tables: Mapping[str, Table],
    known: Numbering | None,
    numbering: Numbering,
    problems: Problems,
) -> None:
    """Refuse or report relations that share no id with the type's table, or with each other."""
    node, text = plan.nodes[name], numbering.ids.dtype == pl.String
    if known is not None and (not len(known) or len(known) == len(numbering)):
        return  # an empty table, or one that knows every id
    if known is None and not text:
        return  # whole numbers that no table lists cannot be written differently
    groups: list[tuple[str, str, pl.Series]] = []
    if known is not None and node.table is not None:
        groups.append((node.table, node.id or "id", known.ids))
    for relation, edge in edges.items():
        columns = {SOURCE: edge.source, TARGET: edge.target, EVENT: edge.event or ""}
        made = edge.bins or edge.quantiles or edge.flags or edge.split is not None
        for end, type_ in edge_ends(edge).items():
            if type_ != name or edge.table == node.table or (end == TARGET and made):
                continue
            here = edge.table, columns[end].partition(".")[2]
            ids = distinct(rows[relation][end].cast(numbering.ids.dtype))
            for *there, its in groups[:1] if known is not None else groups:
                if there[0] == here[0] or not len(ids) or ids.is_in(its.implode()).any():
                    continue
                for how, one, two in differences(ids, its) if text else ():
                    table, column = here if len(one) > len(two) else there
                    hint = alike_hint(how, column, table)
                    if how != "spaces":
                        hint = tables[table].type_hint(column, "int")
                    raise GraphRecError(
                        f"edges.{relation}",
                        f"{name} ids written as in table {there[0]!r}",
                        f"{shown(one)} in {here[1]!r} and {shown(two)} there; no id meets",
                        hint,
                    )
                if known is not None:
                    problems.note(
                        f"edges.{relation}: none of {counted(len(ids), f'{name} id')} is known to "
                        f"table {there[0]!r} ({shown(ids.min())} here, {shown(its[0])} there); "
                        "they are added without columns"
                    )
            groups.append((*here, ids))


def _tell_odd_ids(name: str, numbering: Numbering, problems: Problems) -> None:
    """Report ids that differ from another only in spaces, and lists that were read as one id."""
    ids = numbering.ids
    if ids.dtype != pl.String:
        return
    if "" in ids.head(1):  # ids are sorted
        problems.note(f"{name}: an empty text is one of its ids; NULL is no id")
    padded = ids.filter(ids != ids.str.strip_chars())
    twins = padded.filter(padded.str.strip_chars().is_in(ids.implode()))
    if len(twins):
        problems.note(
            f"{name}: {counted(len(twins), 'id')} like another but for spaces around it "
            f"({shown(twins[0])}); `derive: {{COLUMN: TRIM(COLUMN)}}` joins them"
        )
    lists = ids.filter(ids.str.contains(r"^\s*(\[.*\]|\{.*\})\s*$"))
    if len(lists):
        problems.note(
            f"{name}: {counted(len(lists), 'id')} written like a list or a record "
            f"({shown(lists[0])}), each taken for one id"
        )


def renumbering(
    plan: Plan,
    edges: Mapping[str, EdgePlan],
    lists: Mapping[str, EdgeList],
    numbered: Mapping[str, Numbering],
    seed: int | None,
    problems: Problems,
) -> dict[str, IdCodes]:
    """Return code → id for every node type, −1 for nodes outside the k-core.

    Raises:
        GraphRecError: When no node survives the k-core.
    """
    survives = {name: np.ones(len(numbering), bool) for name, numbering in numbered.items()}
    if plan.core and plan.core.relation in edges:
        edge, listed = edges[plan.core.relation], lists[plan.core.relation]
        kinds = edge.source_type, edge.target_type
        sizes = len(numbered[kinds[0]]), len(numbered[kinds[1]])
        least = plan.core.source, plan.core.target
        masks = k_core(listed.source, listed.target, sizes, least)
        for kind, mask in zip(kinds, masks, strict=True):
            survives[kind] &= mask
        _tell_core(plan, kinds, masks, len(listed.source), problems)
    elif plan.core:
        problems.note(f"core: no relation {plan.core.relation!r} here, so that no node is left out")
    ids: dict[str, IdCodes] = {}
    for name, mask in survives.items():
        n = int(mask.sum())
        places = np.arange(n)
        if seed is not None:
            places = permutation(Key(seed).named(f"permute.{name}"), n)
        ids[name] = np.full(len(mask), UNKNOWN, np.int64)
        ids[name][mask] = places
    return ids


def _tell_core(
    plan: Plan, kinds: tuple[str, str], masks: tuple[Mask, Mask], edges: int, problems: Problems
) -> None:
    core = plan.core
    assert core is not None
    left = [int(mask.sum()) for mask in masks]
    if edges and not all(left):
        raise GraphRecError(
            "core",
            f"nodes with at least {core.source} and {core.target} edges of {core.relation!r}",
            "none, so that nothing is left",
            "smaller numbers in `core.source` and `core.target`",
        )
    gone = [
        f"{len(mask) - n:,} of {counted(len(mask), kind)}"
        for kind, mask, n in zip(kinds, masks, left, strict=True)
        if n < len(mask)
    ]
    if gone:
        need = f"at least {core.source} and {core.target} edges of {core.relation!r}"
        problems.note(f"core: {' and '.join(gone)} left out, for nodes need {need}")


def node_table(
    name: str,
    numbering: Numbering,
    ids: IdCodes,
    described: pl.DataFrame | None,
    plan: NodePlan,
    problems: Problems,
) -> pl.DataFrame:
    """Return the columns of one node type, row *n* for its *n*-th node.

    Args:
        name: The node type, for errors.
        numbering: Its raw ids in code order.
        ids: int64 ``[codes]``, the id of each code or −1.
        described: Rows of the plan's table, column ``id`` first; None without a table.
        plan: Kinds of the columns.
        problems: Where values that do not parse are counted.

    Raises:
        GraphRecError: For a column that is not of its kind.
    """
    rows = pl.DataFrame({RAW_ID: numbering.ids})
    if described is not None:
        described = described.with_columns(pl.col("id").cast(rows[RAW_ID].dtype))
        unique = _one_row_each(name, described, plan, problems)
        rows = rows.join(unique, on=RAW_ID, how="left", maintain_order="left")
    rows = rows.with_columns(pl.Series("__place", ids)).filter(pl.col("__place") >= 0)
    rows = rows.sort("__place").drop("__place").with_columns(pl.col(RAW_ID).cast(pl.String))
    typed = [_typed(name, rows[c], k, problems) for c, k in plan.columns.items() if c in rows]
    return rows.select(RAW_ID).with_columns(typed)


def _one_row_each(
    name: str, described: pl.DataFrame, plan: NodePlan, problems: Problems
) -> pl.DataFrame:
    nameless = described["id"].null_count()
    described = described.filter(pl.col("id").is_not_null())
    where, column = f"table {plan.table!r}", plan.id or "id"
    if nameless and nameless < nameless + len(described):
        problems.note(f"nodes.{name}: {counted(nameless, 'row')} of {where} without {column!r}")
    twice = described.filter(pl.col("id").is_duplicated())["id"].unique(maintain_order=True)
    unique = described.unique("id", keep="first", maintain_order=True)
    if not len(twice):
        return unique
    some = ", ".join(shown(str(raw)) for raw in twice.head(3))
    if plan.duplicates == "error":
        got = f"{counted(len(twice), 'id')} in several rows ({some})"
        hint = "`duplicates: first` to keep the first row"
        expected = f"one row per {column} in {where}"
        problems.refused.append(GraphRecError(f"nodes.{name}", expected, got, hint))
    elif differing := len(described.unique()) - len(unique):
        rows = f"{counted(differing, 'row')} of {where} left out"
        problems.note(f"nodes.{name}: {rows} for an earlier one of that {column!r}")
    return unique


def _typed(name: str, column: pl.Series, kind: ColumnKind, problems: Problems) -> pl.Series:
    who = f"nodes.{name}.{column.name}"
    if kind != "vector" and column.dtype.is_nested():
        raise GraphRecError(
            who, f"one {kind} a node", f"the type {column.dtype}", "an edge to each"
        )
    if kind == "text":
        return column.cast(pl.String)
    if kind == "category":
        text = column.cast(pl.String)
        return text.cast(pl.Enum(text.drop_nulls().unique().sort()))
    if kind == "vector":
        return _vectors(who, column)
    spaced = column.str.strip_chars() if column.dtype == pl.String else column
    number = spaced.cast(pl.Float32, strict=False)
    bad = column.filter(number.is_null() & column.is_not_null())
    examples = [shown(v) for v in bad.head(4)]
    hint = number_hint(column.name, bad.head(1000).cast(pl.String)) if len(bad) else ""
    problems.meet(who, "numbers", len(bad), examples, drop=False, hint=hint)
    odd = number.is_not_null() & ~number.is_finite()
    if odd.any():
        problems.note(f"{who}: {counted(int(odd.sum()), 'value')} not finite; they count as empty")
        kept = pl.when(pl.col(column.name).is_finite()).then(pl.col(column.name))
        number = number.to_frame().select(kept).to_series()
    return number


def _vectors(who: str, column: pl.Series) -> pl.Series:
    if not isinstance(column.dtype, pl.List | pl.Array):
        raise GraphRecError(who, "lists of numbers", column.dtype, "another column kind")
    try:
        lists = column.cast(pl.List(pl.Float32))
    except pl.exceptions.PolarsError as error:
        raise GraphRecError(who, "lists of numbers", column.dtype) from error
    widths = lists.list.len().drop_nulls().unique().sort()
    if len(widths) > 1:
        got = f"lengths {', '.join(map(str, widths.head(3)))}"
        raise GraphRecError(who, "vectors of one length", got)
    if lists.list.eval(pl.element().is_null()).list.any().any():
        raise GraphRecError(who, "lists of numbers", "a list with a gap")
    if not lists.list.eval(pl.element().is_finite()).list.all().all():
        raise GraphRecError(who, "lists of finite numbers", "a list with NaN or infinity")
    return lists.list.to_array(int(widths[0]) if len(widths) else 0)


def number_hint(column: str, texts: pl.Series) -> str:
    """Return the card option that parses numbers with currency or separators, such as ``12,99 €``.

    Args:
        column: Its name.
        texts: Values that are no numbers.
    """
    fallback = "kind `category` or `text`"
    matches = [re.fullmatch(r"(.*?)([-+]?\d[\d.,' ]*)(.*)", text.strip()) for text in texts]
    parts = [match.groups() for match in matches if match is not None]
    extras = sorted({extra.strip() for one in parts for extra in (one[0], one[2])} - {""})
    bodies = [one[1].strip() for one in parts]
    comma = any(re.search(r",\d{1,2}$", body) or body.count(",") == 1 for body in bodies)
    comma = comma and not any(re.search(r",\d{3}\.|\.\d{1,2}$", body) for body in bodies)
    made = column
    for extra in [*extras, *sorted({",", ".", "'", " "} - ({","} if comma else {"."}))]:
        if any(extra in text for text in texts):
            made = f"REPLACE({made}, {_sql_text(extra)}, '')"
    if comma:
        made = f"REPLACE({made}, ',', '.')"
    made = f"TRY_CAST(TRIM({made}) AS DOUBLE)"
    read = pl.DataFrame({column: texts}).select(pl.sql_expr(made).alias("read"))
    if len(extras) > 4 or read["read"].null_count():
        return fallback
    return f'`derive: {{{column}: "{made}"}}` in the card\'s table, or {fallback}'


def _sql_text(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"

"""Columns of nodes: table rows put in id order and typed."""

import polars as pl

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.data.numbering import Codes, Numbering
from graphrec_pt.data.plan import NodePlan
from graphrec_pt.data.problems import Problems
from graphrec_pt.graph.graph import RAW_ID
from graphrec_pt.graph.schema import ColumnKind


def node_table(
    name: str,
    numbering: Numbering,
    ids: Codes,
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
        GraphRecError: For a raw id in two rows, or a column that is not of its kind.
    """
    rows = pl.DataFrame({RAW_ID: numbering.ids})
    if described is not None:
        rows = rows.join(
            _one_row_each(
                name, described.with_columns(pl.col("id").cast(rows[RAW_ID].dtype)), plan
            ),
            on=RAW_ID,
            how="left",
            maintain_order="left",
        )
    rows = rows.with_columns(pl.Series("__place", ids)).filter(pl.col("__place") >= 0)
    rows = rows.sort("__place").drop("__place").with_columns(pl.col(RAW_ID).cast(pl.String))
    typed = [_typed(name, rows[c], k, problems) for c, k in plan.columns.items() if c in rows]
    return rows.select(RAW_ID).with_columns(typed)


def _one_row_each(name: str, described: pl.DataFrame, plan: NodePlan) -> pl.DataFrame:
    described = described.filter(pl.col("id").is_not_null())
    twice = described.filter(pl.col("id").is_duplicated())["id"].unique(maintain_order=True)
    if len(twice) and plan.duplicates == "error":
        some = ", ".join(repr(str(raw)) for raw in twice.head(3))
        raise GraphRecError(
            f"nodes.{name}",
            f"one row per {plan.id or 'id'} in table {plan.table!r}",
            f"{len(twice):,} ids in several rows ({some})",
            "`duplicates: first` to keep the first row",
        )
    return described.unique("id", keep="first", maintain_order=True)


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
        return lists.list.to_array(int(widths[0]) if len(widths) else 0)
    spaced = column.str.strip_chars() if column.dtype == pl.String else column
    number = spaced.cast(pl.Float32, strict=False)
    bad = column.filter(number.is_null() & column.is_not_null())
    problems.meet(
        who, "numbers", len(bad), [repr(v) for v in bad.head(4)], drop=False, hint="kind `category`"
    )
    return number

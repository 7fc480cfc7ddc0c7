"""Table rows → edge rows: one row per edge, raw ids at both ends, integer times."""

from functools import partial
from itertools import pairwise

import polars as pl

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.data.plan import EdgePlan, TimePlan
from graphrec_pt.data.problems import Problems
from graphrec_pt.data.tables import Table
from graphrec_pt.graph.schema import ColumnKind, TimeUnit

SOURCE, TARGET, TIME, WEIGHT, EVENT = "__source", "__target", "__time", "__weight", "__event"
DROP_HINT = "`bad_rows: drop` in the card's table to leave them out"
TRUE = ("1", "1.0", "true", "True", "t", "y", "yes")


def edge_rows(
    name: str, plan: EdgePlan, table: Table, problems: Problems, unit: TimeUnit
) -> pl.DataFrame:
    """Return the edges that a plan finds in a table.

    A missing target means "no attribute" on ordinary edges and a bad row on interactions.

    Args:
        name: The relation.
        plan: Which columns hold its ends, time and weight.
        table: The table.
        problems: Where unusable rows are counted.
        unit: Unit of the times.

    Returns:
        Columns ``__source``, ``__target`` and, as planned, ``__time`` (int64), ``__weight``
        (float32), ``__event`` and the extra columns; one row per edge.

    Raises:
        GraphRecError: When a column is missing or rows cannot be used and may not be dropped.
    """
    who = f"edges.{name}"
    source, target = plan.source.partition(".")[2], plan.target.partition(".")[2]
    event = plan.event.partition(".")[2] if plan.event else None
    timing = plan.timing
    needed = [source, event, timing and timing.column, plan.weight, *plan.columns]
    needed += list(plan.flags.values()) if plan.flags else [target]
    for column in needed:
        if column:
            table.require(column, who)
    dtypes = dict(table.frame.collect_schema())
    if plan.where:
        check_condition(f"{who}.where", table.frame, plan.where)
    if timing:
        _check_time(who, timing, dtypes[timing.column])
    if plan.quantiles:
        plan = plan.model_copy(update={"bins": _cut_points(table, target, plan.quantiles)})

    keep = [_raw_id(source, dtypes[source], who).alias(SOURCE)]
    if timing:
        keep.append(_integer_time(timing, dtypes[timing.column], unit).alias(TIME))
    if plan.weight:
        keep.append(_finite(plan.weight).cast(pl.Float32).alias(WEIGHT))
    if event:
        keep.append(_raw_id(event, dtypes[event], who).alias(EVENT))
    keep += [pl.col(c).cast(_edge_dtype(k), strict=False) for c, k in plan.columns.items()]

    rows = table.collect(partial(_query, plan=plan, keep=keep, target=target, dtypes=dtypes))
    unusable: dict[str, tuple[str, pl.Expr | None, str]] = {
        SOURCE: ("a source id", pl.col(source).is_null(), source),
        TARGET: ("a target id", pl.col(target).is_null() if target else None, target),
        WEIGHT: (
            "a number as weight",
            _finite(plan.weight).is_null() if plan.weight else None,
            plan.weight or "",
        ),
        TIME: ("a time that reads", _no_time(timing, dtypes), timing.column if timing else ""),
    }
    if rows.width > 1 and rows[SOURCE].null_count():  # blank lines at the end of a file, say
        rows = rows.filter(~pl.all_horizontal(pl.all().is_null()))
        blank = pl.all_horizontal(pl.col(c).is_null() for c in needed if c)
        unusable = {
            made: (what, None if bad is None else bad & ~blank, column)
            for made, (what, bad, column) in unusable.items()
        }
    if plan.bins and rows[TARGET].null_count():
        unread = pl.col(target).is_not_null() & _finite(target).is_null()
        examples = table.examples(unread, pl.col(target))
        count = int(table.collect(lambda f: f.select(unread.sum())).item()) if examples else 0
        problems.meet(who, "a number", count, examples, drop=table.drop_bad, hint=DROP_HINT)
    if not plan.interaction:
        rows = rows.filter(pl.col(TARGET).is_not_null())
    for made, (what, bad, column) in unusable.items():
        if made not in rows.columns or bad is None:
            continue
        count = rows[made].null_count()
        examples = table.examples(bad, pl.col(column)) if count else []
        problems.meet(who, what, count, examples, drop=table.drop_bad, hint=_hint(made, timing))
        if count:
            rows = rows.filter(pl.col(made).is_not_null())
    return rows


def _query(
    frame: pl.LazyFrame,
    plan: EdgePlan,
    keep: list[pl.Expr],
    target: str,
    dtypes: dict[str, pl.DataType],
) -> pl.LazyFrame:
    if plan.where:
        frame = frame.filter(pl.sql_expr(plan.where))
    if plan.flags:
        flags = [
            pl.when(pl.col(column).cast(pl.String).is_in(TRUE)).then(pl.lit(raw_id))
            for raw_id, column in plan.flags.items()
        ]
        listed = pl.concat_list(flags).list.drop_nulls().alias(TARGET)
        return frame.select(*keep, listed).explode(TARGET)
    ends = pl.col(target)
    if plan.bins:
        made = _interval(_finite(target), plan.bins)
        return frame.select(*keep, made.alias(TARGET))
    if plan.split is not None:
        parts = ends.cast(pl.String).str.split(plan.split).list.eval(pl.element().str.strip_chars())
        parts = parts.list.eval(pl.element().filter(pl.element() != ""))
        return frame.select(*keep, parts.alias(TARGET)).explode(TARGET)
    dtype = dtypes[target]
    if isinstance(dtype, pl.List):
        check_id_type("edges", target, pl.Series([], dtype=dtype.inner).dtype)
        return frame.select(*keep, ends.alias(TARGET)).explode(TARGET)
    return frame.select(*keep, _raw_id(target, dtypes[target], "edges").alias(TARGET))


def _raw_id(column: str, dtype: pl.DataType, who: str) -> pl.Expr:
    check_id_type(who, column, dtype)
    if dtype.is_integer() and dtype != pl.UInt64:
        return pl.col(column).cast(pl.Int64)
    return pl.col(column).cast(pl.String)


def check_id_type(who: str, column: str, dtype: pl.DataType) -> None:
    """Refuse a column of ids that are neither whole numbers nor text."""
    if dtype.is_float() or dtype.is_nested() or dtype in (pl.Binary, pl.Object):
        hint = "`types: {COLUMN: int}` in a card, `.astype({COLUMN: 'Int64'})` in pandas"
        raise GraphRecError(
            who, f"whole numbers or text as ids in {column!r}", f"the type {dtype}", hint
        )


def check_condition(who: str, frame: pl.LazyFrame, where: str) -> None:
    """Refuse SQL that is no condition on the columns of a table."""
    try:
        frame.filter(pl.sql_expr(where)).collect_schema()
    except pl.exceptions.PolarsError as error:
        names = ", ".join(frame.collect_schema().names()[:12])
        got = f"{where!r} ({str(error).splitlines()[0]})"
        raise GraphRecError(who, "a SQL condition", got, f"one on columns {names}") from error


def _check_time(who: str, plan: TimePlan, dtype: pl.DataType) -> None:
    if not (dtype.is_numeric() or dtype in (pl.String, pl.Date, pl.Datetime, pl.Null)):
        raise GraphRecError(
            who, f"numbers, dates or text as times in {plan.column!r}", f"the type {dtype}"
        )


def _integer_time(plan: TimePlan, dtype: pl.DataType, unit: TimeUnit) -> pl.Expr:
    column = pl.col(plan.column)
    ticks = "ms" if unit == "ms" else "s"
    if dtype in (pl.Date, pl.Datetime):
        return column.dt.epoch("ms" if ticks == "ms" else "s")
    if plan.format:
        parsed = column.cast(pl.String).str.to_datetime(plan.format, strict=False)
        return parsed.dt.epoch("ms" if ticks == "ms" else "s")
    if dtype.is_integer() and plan.scale == 1:
        return column.cast(pl.Int64, strict=False)
    number = column.cast(pl.Float64, strict=False)
    return (number * plan.scale).cast(pl.Int64, strict=False)


def _no_time(plan: TimePlan | None, dtypes: dict[str, pl.DataType]) -> pl.Expr | None:
    # Rows that are pointed at may be read as text, so the type of the column says too much here.
    if plan is None:
        return None
    temporal = dtypes[plan.column] in (pl.Date, pl.Datetime)
    dtype = dtypes[plan.column] if temporal else pl.String()
    return _integer_time(plan, dtype, "s").is_null()


def _finite(column: str) -> pl.Expr:
    """Return a column as numbers, null where it holds none."""
    number = pl.col(column).cast(pl.Float64, strict=False)
    return pl.when(number.is_finite()).then(number)


def _hint(made: str, timing: TimePlan | None) -> str:
    if made == TIME and timing and not timing.format:
        return f"`time: {{column: {timing.column}, format: '%Y-%m-%d'}}`, or {DROP_HINT}"
    return DROP_HINT


def _cut_points(table: Table, column: str, count: int) -> tuple[float, ...]:
    value = _finite(column)
    levels = [value.quantile(q / count, "linear").alias(str(q)) for q in range(1, count)]
    points = table.collect(lambda frame: frame.select(levels)).row(0)
    return tuple(sorted({p for p in points if p is not None}))


def _interval(value: pl.Expr, bins: tuple[float, ...]) -> pl.Expr:
    """Label the interval, closed on the left, that a number falls in."""
    inner = [f"{low:g}–{high:g}" for low, high in pairwise(bins)]
    labels = [f"<{bins[0]:g}", *inner, f"≥{bins[-1]:g}"]
    passed = pl.sum_horizontal(value >= cut for cut in bins).cast(pl.Int64)
    label = passed.replace_strict(dict(enumerate(labels)), return_dtype=pl.String)
    return pl.when(value.is_not_null()).then(label)


def _edge_dtype(kind: ColumnKind) -> pl.DataType:
    return pl.Float64() if kind == "number" else pl.String()

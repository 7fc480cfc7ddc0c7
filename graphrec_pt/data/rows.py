"""Table rows → edge rows: one row per edge, raw ids at both ends, integer times."""

from collections.abc import Callable, Mapping
from functools import partial
from itertools import pairwise

import polars as pl

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.core.printable import counted
from graphrec_pt.data.delimited import LINE
from graphrec_pt.data.plan import EdgePlan, TimePlan
from graphrec_pt.data.problems import Problems, some
from graphrec_pt.data.tables import FILE, Table
from graphrec_pt.data.times import guess_format, integer_time
from graphrec_pt.graph.schema import ColumnKind, TimeUnit

SOURCE, TARGET, TIME, WEIGHT, EVENT = "__source", "__target", "__time", "__weight", "__event"
TRUE = ("1", "1.0", "true", "t", "y", "yes")
FALSE = ("0", "0.0", "false", "f", "n", "no", "")
Dtypes = Mapping[str, pl.DataType]


def needed_columns(plan: EdgePlan) -> list[str]:
    """Return the columns of its table that an edge plan reads."""
    ends = [plan.source, plan.event or "", "" if plan.flags else plan.target]
    needed = [end.partition(".")[2] for end in ends]
    needed += [plan.timing.column if plan.timing else "", plan.weight or "", *plan.columns]
    return [column for column in [*needed, *(plan.flags or {}).values()] if column]


def edge_ends(edge: EdgePlan) -> dict[str, str]:
    """Return the row columns that hold node ids, each with its node type."""
    ends = {SOURCE: edge.source_type, TARGET: edge.target_type}
    return ends | ({EVENT: edge.event.partition(".")[0]} if edge.event else {})


def edge_rows(
    name: str, plan: EdgePlan, table: Table, problems: Problems, unit: TimeUnit
) -> pl.DataFrame:
    """Return the edges that a plan finds in a table.

    A missing target means "no attribute" on ordinary edges and a bad row on interactions.

    Args:
        name: The relation.
        plan: Which columns hold its ends, time and weight.
        table: The table, with all columns that the plan needs.
        problems: Where unusable rows are counted.
        unit: Unit of the times.

    Returns:
        Columns ``__source``, ``__target`` and, as planned, ``__time`` (int64), ``__weight``
        (float32), ``__event`` and the extra columns; one row per edge.

    Raises:
        GraphRecError: When a column has a type that cannot be used, or SQL is wrong.
    """
    who = f"edges.{name}"
    target = plan.target.partition(".")[2]
    dtypes = dict(table.frame.collect_schema())
    _check_types(who, plan, table, dtypes)
    if plan.where:
        check_condition(f"{who}.where", table.frame, plan.where)
    if plan.quantiles:
        plan = plan.model_copy(update={"bins": _cut_points(table, target, plan.quantiles)})
    _require_readable(who, plan, table, problems)
    rows = table.collect(partial(_query, plan=plan, unit=unit))
    if plan.interaction:
        _tell_empty_lists(who, plan, table, dtypes, problems)

    def shown(column: str, chosen: pl.Expr) -> Callable[[pl.LazyFrame], pl.LazyFrame]:
        def query(frame: pl.LazyFrame) -> pl.LazyFrame:
            there = dict(frame.collect_schema())
            value = pl.col(column)
            if not there[column].is_nested():
                value = value.cast(pl.String, strict=False)
            value = value.alias("__shown")
            made = _query(frame, plan, unit, (pl.col(FILE), pl.col(LINE), value))
            return made.filter(chosen & ~_blank(plan, made.collect_schema().names()))

        return query

    if rows.width > 1 and rows[SOURCE].null_count():  # blank lines at the end of a file, say
        rows = rows.filter(~pl.all_horizontal(pl.all().is_null()))
    if not plan.interaction:
        rows = rows.filter(pl.col(TARGET).is_not_null())
    column_of = {SOURCE: plan.source.partition(".")[2], TARGET: target, WEIGHT: plan.weight}
    column_of[TIME] = plan.timing.column if plan.timing else None
    what = {
        SOURCE: "a source id",
        TARGET: "a target id",
        WEIGHT: "a finite number as weight",
        TIME: "a time that reads",
    }
    for made, expected in what.items():
        column = column_of[made]
        if made not in rows.columns or not column or not (count := rows[made].null_count()):
            continue
        examples = table.examples(shown(column, pl.col(made).is_null()))
        hint = _hint(made, plan.timing, table, examples)
        problems.meet(who, expected, count, examples, drop=table.drop_bad, hint=hint)
        rows = rows.filter(pl.col(made).is_not_null())
    if plan.weight:
        for sign, odd in (("negative", pl.col(WEIGHT) < 0), ("zero", pl.col(WEIGHT) == 0)):
            if count := int(rows.select(odd.sum()).item()):
                places = some(table.examples(shown(plan.weight, odd)), count)
                walks = "weighted walks refuse them" if sign == "negative" else "walks skip them"
                rows_ = f"{counted(count, 'row')} with a {sign} weight ({places})"
                problems.note(f"{who}.weight: {rows_}; {walks}")
    return rows


def id_places(name: str, plan: EdgePlan, table: Table, end: str, ids: pl.Series) -> list[str]:
    """Return up to four rows of a relation that mention one of some raw ids at one end."""

    def query(frame: pl.LazyFrame) -> pl.LazyFrame:
        places = (pl.col(FILE), pl.col(LINE))
        made = _query(frame, plan, "s", places)
        made = made.with_columns(pl.col(end).cast(pl.String).alias("__shown"))
        return made.filter(pl.col("__shown").is_in(ids.cast(pl.String).to_list()))

    return table.examples(query) if not (plan.bins or plan.quantiles) else []


def _query(
    frame: pl.LazyFrame,
    plan: EdgePlan,
    unit: TimeUnit,
    more: tuple[pl.Expr, ...] = (),
) -> pl.LazyFrame:
    dtypes = frame.collect_schema()  # of this reading; another one may find other types
    source, target = plan.source.partition(".")[2], plan.target.partition(".")[2]
    keep = [_raw_id(source, dtypes[source], plan).alias(SOURCE)]
    if plan.timing:
        time = integer_time(plan.timing, dtypes[plan.timing.column], unit)
        keep.append(time.alias(TIME))
    if plan.weight:
        keep.append(_finite(plan.weight, pl.Float32()).alias(WEIGHT))
    if plan.event:
        event = plan.event.partition(".")[2]
        keep.append(_raw_id(event, dtypes[event], plan).alias(EVENT))
    keep += [pl.col(c).cast(_edge_dtype(k), strict=False) for c, k in plan.columns.items()]
    keep += more
    if plan.where:
        frame = frame.filter(pl.sql_expr(plan.where))
    if plan.flags:
        flags = [
            pl.when(_flag(column).is_in(TRUE)).then(pl.lit(raw_id))
            for raw_id, column in plan.flags.items()
        ]
        listed = pl.concat_list(flags).list.drop_nulls().alias(TARGET)
        return frame.select(*keep, listed).explode(TARGET)
    if plan.bins:
        made = _interval(_finite(target), plan.bins)
        return frame.select(*keep, made.alias(TARGET))
    ends = pl.col(target)
    if plan.split is not None:
        return frame.select(*keep, _parts(plan).alias(TARGET)).explode(TARGET)
    dtype = dtypes[target]
    if isinstance(dtype, pl.List):
        inner = dtype.inner
        assert isinstance(inner, pl.DataType)
        if inner != pl.Null:
            ends = ends.cast(pl.List(_id_dtype(inner)))
        exploded = frame.select(*keep, ends.alias(TARGET)).explode(TARGET)
        return exploded.with_columns(_filled(pl.col(TARGET), _id_dtype(inner), plan))
    return frame.select(*keep, _raw_id(target, dtypes[target], plan).alias(TARGET))


def _blank(plan: EdgePlan, made: list[str]) -> pl.Expr:
    """Return whether a made row comes from a blank line: nothing is in it."""
    names = [n for n in (SOURCE, TARGET, TIME, WEIGHT, EVENT, *plan.columns) if n in made]
    if len(names) < 2:
        return pl.lit(False)
    return pl.all_horizontal(pl.col(name).is_null() for name in names)


def _id_dtype(dtype: pl.DataType) -> pl.DataType:
    """Return the type of ids: whole numbers of 64 bits as they are, everything else as text."""
    narrow = dtype.is_integer() and dtype not in (pl.UInt64, pl.Int128, pl.UInt128)
    return pl.Int64() if narrow else pl.String()


def _raw_id(column: str, dtype: pl.DataType, plan: EdgePlan) -> pl.Expr:
    kind = _id_dtype(dtype)
    return _filled(pl.col(column).cast(kind), kind, plan)


def _filled(ids: pl.Expr, kind: pl.DataType, plan: EdgePlan) -> pl.Expr:
    """Return ids, null where an interaction has an empty text: it names nothing."""
    return pl.when(ids != "").then(ids) if kind == pl.String and plan.interaction else ids


def _check_types(who: str, plan: EdgePlan, table: Table, dtypes: Dtypes) -> None:
    target = plan.target.partition(".")[2]
    check_id_type(who, plan.source.partition(".")[2], dtypes, table)
    if plan.event:
        check_id_type(who, plan.event.partition(".")[2], dtypes, table)
    if target and not (plan.bins or plan.quantiles or plan.flags):
        check_id_type(who, target, dtypes, table, listed=plan.split is None)
    for column in (plan.weight, target if plan.bins or plan.quantiles else None):
        if column and (dtypes[column].is_nested() or dtypes[column].is_temporal()):
            what = f"numbers in {column!r}"
            raise GraphRecError(who, what, f"the type {dtypes[column]}", "another column")
    if plan.timing:
        dtype = dtypes[plan.timing.column]
        if not (dtype.is_numeric() or dtype in (pl.String, pl.Date, pl.Datetime, pl.Null)):
            what = f"numbers, dates or text as times in {plan.timing.column!r}"
            raise GraphRecError(who, what, f"the type {dtype}")


def check_id_type(
    who: str, column: str, dtypes: Dtypes, table: Table, *, listed: bool = False
) -> None:
    """Refuse a column of ids that are neither whole numbers nor text."""
    dtype = whole = dtypes[column]
    if listed and isinstance(whole, pl.List) and isinstance(whole.inner, pl.DataType):
        dtype = whole.inner
    if dtype.is_float() or dtype.is_nested() or dtype in (pl.Binary, pl.Object):
        hint = table.type_hint(column, "int") if dtype.is_float() and dtype is whole else ""
        if dtype == pl.Binary:
            hint = table.type_hint(column, "text")
        expected = f"whole numbers or text as ids in {column!r}"
        raise GraphRecError(who, expected, f"the type {dtype}", hint)


def check_condition(who: str, frame: pl.LazyFrame, where: str) -> None:
    """Refuse SQL that is no condition on the columns of a table."""
    try:
        frame.filter(pl.sql_expr(where)).collect_schema()
    except pl.exceptions.PolarsError as error:
        names = ", ".join(frame.collect_schema().names()[:12])
        got = f"{where!r} ({str(error).splitlines()[0]})"
        raise GraphRecError(who, "a SQL condition", got, f"one on columns {names}") from error


def _require_readable(who: str, plan: EdgePlan, table: Table, problems: Problems) -> None:
    """Report values that would be lost silently: in bins, in flags and in number columns."""
    checks: list[tuple[str, str, pl.Expr]] = []
    if plan.bins:
        column = plan.target.partition(".")[2]
        checks.append(("a number", column, _finite(column).is_null()))
    for column in (plan.flags or {}).values():
        checks.append((f"true or false in {column!r}", column, ~_flag(column).is_in(TRUE + FALSE)))
    for column, kind in plan.columns.items():
        if kind == "number":
            unread = pl.col(column).cast(pl.Float64, strict=False).is_null()
            checks.append((f"a number in {column!r}", column, unread))
    if not checks:
        return
    where = pl.sql_expr(plan.where) if plan.where else pl.lit(True)
    bad = {
        str(place): where & pl.col(column).is_not_null() & odd
        for place, (_, column, odd) in enumerate(checks)
    }
    counts = table.collect(lambda f: f.select(e.sum().alias(n) for n, e in bad.items())).row(0)
    for (what, column, _), odd, count in zip(checks, bad.values(), counts, strict=True):
        if count:
            value = pl.col(column).cast(pl.String).alias("__shown")
            examples = table.examples(partial(_chosen, odd=odd, value=value))
            if table.drop_bad:
                rows = f"{counted(count, 'row')} without {what} ({some(examples, count)})"
                problems.note(f"{who}: {rows}; they count as empty")
            else:
                hint = table.drop_hint(examples)
                problems.meet(who, what, count, examples, drop=False, hint=hint)


def _chosen(frame: pl.LazyFrame, odd: pl.Expr, value: pl.Expr) -> pl.LazyFrame:
    return frame.filter(odd).with_columns(value)


def _tell_empty_lists(
    who: str, plan: EdgePlan, table: Table, dtypes: Dtypes, problems: Problems
) -> None:
    """Report rows with an empty list of targets: they make no edge and are no mistake."""
    column = plan.target.partition(".")[2]
    if plan.split is not None:
        nothing = _parts(plan).list.len() == 0
    elif column and isinstance(dtypes[column], pl.List):
        nothing = pl.col(column).list.len() == 0
    else:
        return
    where = pl.sql_expr(plan.where) if plan.where else pl.lit(True)
    count = int(table.collect(lambda f: f.select((where & nothing).sum())).item())
    if count:
        value = pl.col(column).alias("__shown")
        examples = table.examples(partial(_chosen, odd=where & nothing, value=value))
        problems.note(
            f"{who}: {counted(count, 'row')} without any target in {column!r} "
            f"({some(examples, count)}); no edge comes of them"
        )


def _parts(plan: EdgePlan) -> pl.Expr:
    """Return the texts between separators, without empty ones."""
    assert plan.split is not None
    texts = pl.col(plan.target.partition(".")[2]).cast(pl.String)
    parts = texts.str.split(plan.split).list.eval(pl.element().str.strip_chars())
    return parts.list.eval(pl.element().filter(pl.element() != ""))


def _flag(column: str) -> pl.Expr:
    return pl.col(column).cast(pl.String).str.strip_chars().str.to_lowercase()


def _finite(column: str, dtype: pl.DataType | None = None) -> pl.Expr:
    """Return a column as finite numbers, null for other values."""
    number = pl.col(column).cast(pl.Float64, strict=False)
    if dtype is not None:
        number = number.cast(dtype)
    return pl.when(number.is_finite()).then(number)


def _hint(made: str, timing: TimePlan | None, table: Table, examples: list[str]) -> str:
    drop = table.drop_hint(examples)
    if made != TIME or timing is None or timing.format or not examples:
        return drop
    text = examples[0].partition(" '")[2].rstrip("'")
    if guess := guess_format(text):
        return f"`time: {{column: {timing.column}, format: {guess!r}}}`, or {drop}"
    return drop


def _cut_points(table: Table, column: str, count: int) -> tuple[float, ...]:
    value = _finite(column)
    levels = [value.quantile(q / count, "linear").alias(str(q)) for q in range(1, count)]
    points = table.collect(lambda frame: frame.select(levels)).row(0)
    cuts = tuple(sorted({p for p in points if p is not None}))
    return cuts or (0.0,)  # a column without numbers makes no edges, whatever the cut


def _interval(value: pl.Expr, bins: tuple[float, ...]) -> pl.Expr:
    """Label the interval, closed on the left, that a number falls in."""
    inner = [f"{low:g}–{high:g}" for low, high in pairwise(bins)]
    labels = [f"<{bins[0]:g}", *inner, f"≥{bins[-1]:g}"]
    passed = pl.sum_horizontal(value >= cut for cut in bins).cast(pl.Int64)
    label = passed.replace_strict(dict(enumerate(labels)), return_dtype=pl.String)
    return pl.when(value.is_not_null()).then(label)


def _edge_dtype(kind: ColumnKind) -> pl.DataType:
    return pl.Float64() if kind == "number" else pl.String()

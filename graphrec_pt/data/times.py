"""Times of a table as whole numbers; text is parsed with the patterns of Python's strptime."""

import re
from datetime import UTC, datetime

import polars as pl

from graphrec_pt.data.plan import TimePlan
from graphrec_pt.graph.schema import TimeUnit

TRIES = 1000  # distinct texts that Python parses before it gives up on a column
SLOW = re.compile(r"(?<!\.)%f|%Z")
FORMATS = (
    "%Y-%m-%d",
    "%Y-%m-%d %H:%M:%S",
    "%Y-%m-%d %H:%M:%S.%f",
    "%Y-%m-%dT%H:%M:%S",
    "%Y-%m-%dT%H:%M:%S.%f",
    "%Y-%m-%dT%H:%M:%S%z",
    "%Y-%m-%dT%H:%M:%S.%f%z",
    "%Y-%m-%d %H:%M:%S%z",
    "%Y-%m-%d %H:%M:%S.%f%z",
    "%Y-%m-%d %H:%M",
    "%Y/%m/%d",
    "%Y/%m/%d %H:%M:%S",
    "%d.%m.%Y",
    "%d.%m.%Y %H:%M",
    "%d.%m.%Y %H:%M:%S",
    "%m/%d/%Y",
    "%m/%d/%Y %H:%M",
    "%m/%d/%Y %H:%M:%S",
    "%m/%d/%Y %I:%M:%S %p",
    "%d/%m/%Y",
    "%d/%m/%Y %H:%M",
    "%d/%m/%Y %H:%M:%S",
    "%m %d, %Y",
    "%b %d, %Y",
    "%d %b %Y",
    "%B %d, %Y",
    "%a %b %d %H:%M:%S %z %Y",
    "%a, %d %b %Y %H:%M:%S %Z",
    "%Y%m%d",
)


def integer_time(plan: TimePlan, dtype: pl.DataType, unit: TimeUnit) -> pl.Expr:
    """Return a time column as whole numbers, null where it holds no time.

    Args:
        plan: The column and its format.
        dtype: Type of the column.
        unit: Unit of dates: milliseconds for ``"ms"``, otherwise seconds since 1970 (UTC).
    """
    column = pl.col(plan.column)
    ticks = "ms" if unit == "ms" else "s"
    if isinstance(dtype, pl.Date | pl.Datetime):
        return column.dt.epoch("ms" if ticks == "ms" else "s")
    if plan.format:
        pattern = plan.format
        return column.cast(pl.String).map_batches(
            lambda texts: _epoch(texts, pattern, ticks),
            return_dtype=pl.Int64,
            is_elementwise=True,
        )
    if dtype.is_integer() and plan.scale == 1:
        return column.cast(pl.Int64, strict=False)
    number = (column.cast(pl.Float64, strict=False) * plan.scale).cast(pl.Int64, strict=False)
    if dtype == pl.String and plan.scale == 1:  # doubles would round large whole numbers
        return pl.coalesce(column.str.strip_chars().cast(pl.Int64, strict=False), number)
    return number


def guess_format(text: str) -> str | None:
    """Return the strptime pattern of a time, if its format is a common one."""
    return next((f for f in FORMATS if _python(text.strip(), f) is not None), None)


def _epoch(texts: pl.Series, pattern: str, ticks: str) -> pl.Series:
    """Parse texts: with Polars, which is fast, or with Python for patterns that Polars lacks."""
    times = pl.Series(texts.name, [None], dtype=pl.Int64).new_from_index(0, len(texts))
    if not SLOW.search(pattern):
        # In the grammar of Polars, %.f is a fraction of any length and %#z takes Z as well.
        fast = pattern.replace(".%f", "%.f").replace("%z", "%#z")
        try:
            parsed = texts.str.to_datetime(fast, strict=False, time_unit="us")
            if "%y" in pattern:  # 69 is 1969 for Python and 2069 for Polars
                parsed = parsed.set(parsed.dt.year() == 2069, None)
            times = parsed.dt.epoch("ms" if ticks == "ms" else "s")
        except pl.exceptions.PolarsError:
            pass  # a pattern that Polars refuses, such as hours without minutes
    left = texts.filter(times.is_null() & texts.is_not_null()).unique(maintain_order=True)
    read: dict[str, int] = {}
    for place, text in enumerate(left):
        if place == TRIES and not read:
            break
        moment = _python(text, pattern)
        if moment is not None:
            since = moment - datetime(1970, 1, 1, tzinfo=UTC)
            seconds = since.days * 86_400 + since.seconds
            read[text] = seconds * 1000 + since.microseconds // 1000 if ticks == "ms" else seconds
    if read:
        slow = texts.replace_strict(read, default=None, return_dtype=pl.Int64)
        times = times.fill_null(slow)
    return times


def _python(text: str, pattern: str) -> datetime | None:
    try:
        moment = datetime.strptime(text, pattern)
    except (ValueError, re.error):
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)

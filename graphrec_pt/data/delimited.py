"""Delimited text (CSV, TSV, ``::`` and friends) as lazy frames of text columns."""

import codecs
import csv
from collections.abc import Sequence
from pathlib import Path

import polars as pl

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.data.card import TablePlan
from graphrec_pt.data.raw import RawFile

SEPARATORS = (",", "\t", ";", "|", "::", " ")
LINE = "__line"


def scan_delimited(
    file: RawFile,
    plan: TablePlan,
    scratch: Path,
    dtypes: dict[str, type[pl.DataType]],
    *,
    numbered: bool = False,
) -> pl.LazyFrame:
    """Scan one delimited file; columns are text unless `dtypes` says otherwise.

    Args:
        file: The file.
        plan: Separator, header, quoting, encoding, null texts.
        scratch: Where to put a decompressed or re-encoded copy, if one is needed.
        dtypes: Column → type to parse while reading.
        numbered: Add a column ``__line`` with the 1-based line number.

    Raises:
        GraphRecError: For an empty file, or one whose first lines do not fit the plan.
    """
    path = _readable(file, plan, scratch)
    separator = plan.separator or _default_separator(file)
    first = _first_line(path)
    if not first.strip():
        raise GraphRecError(file.name, "at least one line", "an empty file", "downloading it again")
    if "\r" in first:
        raise GraphRecError(
            f"{file.name}:1", "lines that end in \\n", "\\r alone", "saving it with Unix line ends"
        )
    names = list(plan.header) if isinstance(plan.header, tuple) else None
    if len(separator.encode()) > 1:
        return _scan_wide(path, file, plan, separator, names, numbered=numbered)
    if names is not None:
        _check_width(file, first, separator, names, plan)
    return pl.scan_csv(
        path,
        separator=separator,
        has_header=plan.header is True,
        new_columns=names,
        quote_char=plan.quote,
        null_values=["", *plan.missing],
        infer_schema=False,
        schema_overrides=dtypes or None,
        row_index_name=LINE if numbered else None,
        row_index_offset=2 if plan.header is True else 1,
        low_memory=True,
    )


def first_misfit(file: RawFile, plan: TablePlan) -> GraphRecError | None:
    """Return an error that names the first line with more fields than columns, if there is one."""
    separator = plan.separator or _default_separator(file)
    if len(separator) > 1:
        return None
    lines = (line for _, line in file.texts(plan.encoding))
    rows = csv.reader(
        lines,
        delimiter=separator,
        quotechar=plan.quote,
        quoting=csv.QUOTE_MINIMAL if plan.quote else csv.QUOTE_NONE,
    )
    width = len(plan.header) if isinstance(plan.header, tuple) else 0
    last = 0
    try:
        for row in rows:
            first, last, width = last + 1, rows.line_num, width or len(row)
            unclosed = len(row) < width and bool(row) and row[-1].endswith("\n")
            if len(row) > width or unclosed:
                got = "a quote that is never closed" if unclosed else str(len(row))
                hint = "`quote: null` or another `separator` in the card"
                return GraphRecError(f"{file.name}:{first}", f"{width} fields", got, hint)
    except csv.Error as error:  # a field that goes on and on
        hint = "`quote: null` in the card"
        return GraphRecError(f"{file.name}:{last + 1}", "closed quotes", error, hint)
    return None


def guess_separator(line: str) -> str | None:
    """Return the separator that a line most likely uses, if any occurs in it."""
    counts = {separator: line.count(separator) for separator in SEPARATORS}
    best = max(counts, key=lambda s: (counts[s], len(s)))
    return best if counts[best] else None


def _readable(file: RawFile, plan: TablePlan, scratch: Path) -> Path:
    """Return a plain UTF-8 file, re-encoded into `scratch` if need be."""
    path = file.local(scratch)
    if plan.encoding.lower().replace("-", "") in ("utf8", "ascii"):
        return path
    copy = scratch / f"utf8-{path.name}"
    if not copy.exists():
        with copy.open("w", encoding="utf-8", newline="") as out:
            out.writelines(text for _, text in file.texts(plan.encoding))
    return copy


def _default_separator(file: RawFile) -> str:
    return "\t" if file.name.lower().endswith((".tsv", ".inter", ".kg", ".link")) else ","


def _first_line(path: Path) -> str:
    with path.open("rb") as stream:
        line = stream.readline()
    if line.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        hint = "`encoding: utf-16` in the card"
        raise GraphRecError(f"{path.name}:1", "utf-8 text", "utf-16", hint)
    return line.decode("utf-8-sig", errors="replace").rstrip("\r\n")


def _check_width(
    file: RawFile, line: str, separator: str, names: Sequence[str], plan: TablePlan
) -> None:
    width = line.count(separator) + 1
    if width < len(names) or (width > len(names) and plan.quote is None):
        guess = guess_separator(line)
        hint = f"`separator: {guess!r}` in the card" if guess not in (separator, None) else ""
        raise GraphRecError(
            f"{file.name}:1", f"{len(names)} fields separated by {separator!r}", width, hint
        )


def _scan_wide(
    path: Path,
    file: RawFile,
    plan: TablePlan,
    separator: str,
    names: list[str] | None,
    *,
    numbered: bool,
) -> pl.LazyFrame:
    """Scan a file whose separator has several bytes: whole lines, then a split."""
    names = names or _first_line(path).split(separator)
    _check_width(file, _first_line(path), separator, names, plan)
    lines = pl.scan_csv(
        path,
        separator="\x1f",  # a control character that no text file uses: one column, the line
        has_header=plan.header is True,
        new_columns=["line"],
        quote_char=None,
        infer_schema=False,
        row_index_name=LINE if numbered else None,
        row_index_offset=2 if plan.header is True else 1,
        truncate_ragged_lines=True,
    )
    null = ["", *plan.missing]
    fields = [
        pl.when(pl.col(name).is_in(null)).then(None).otherwise(pl.col(name)).alias(name)
        for name in names
    ]
    split = pl.col("line").str.splitn(separator, len(names)).struct.rename_fields(names)
    return lines.with_columns(split.struct.unnest()).drop("line").with_columns(fields)

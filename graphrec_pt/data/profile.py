"""What the columns of a raw table look like: numbers, times, labels, lists, paths or prose.

The file is read as text, so a column of prices such as ``12,99 €`` is seen as it is written. Only
the first :data:`ROWS` rows are looked at.
"""

import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import polars as pl

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.data.times import FORMATS

ROWS = 200_000
"""Rows of a table that are looked at."""
TRIED = 500
"""Distinct values of a column that date formats are tried on."""
TABLES = (".csv", ".tsv", ".txt", ".json", ".jsonl", ".ndjson", ".parquet")
"""Endings of files that may be tables."""
SEPARATORS = (",", ";", "\t", "|")
MOSTLY = 0.9
"""Share of the values of a column that must fit a kind."""
EPOCH = {"s": (3e8, 4e9), "ms": (3e11, 4e12)}
"""Range of numbers that are likely times, by unit."""
PRICE = re.compile(r"^[^\d+-]{0,4}[+-]?[\d.,\s]*\d[^\d]{0,5}$")
FLAGS = ({"0", "1"}, {"true", "false"}, {"yes", "no"}, {"y", "n"})

Kind = Literal["empty", "number", "written_number", "time", "path", "list", "prose", "label"]


@dataclass(frozen=True)
class ColumnProfile:
    """A column as it stands in the file.

    Args:
        name: Its header.
        kind: What most of its values are. A ``written_number`` is one with a currency or a decimal
            comma; a ``path`` is ``A > B > C``; a ``list`` has several values in one cell.
        values: Its filled values as text.
        rows: Rows of the table that were looked at.
        separator: Between the parts of a list or a path.
        format: strptime pattern of a time in text.
        unit: Unit of a time in numbers.
        odd: Filled values that do not fit the kind.
    """

    name: str
    kind: Kind
    values: pl.Series
    rows: int
    separator: str | None = None
    format: str | None = None
    unit: str | None = None
    odd: tuple[str, ...] = ()

    @property
    def empty(self) -> int:
        """The number of rows without a value."""
        return self.rows - len(self.values)

    @property
    def distinct(self) -> int:
        """The number of different values."""
        return self.values.n_unique()

    @property
    def unique(self) -> bool:
        """Whether nearly every filled value stands in one row only."""
        return len(self.values) > 0 and self.distinct >= 0.95 * len(self.values)

    @property
    def flag(self) -> bool:
        """Whether the values are yes and no."""
        found = set(self.values.str.to_lowercase().unique().to_list())
        return 0 < len(found) <= 2 and any(found <= flags for flags in FLAGS)


@dataclass(frozen=True)
class TableProfile:
    """A raw table.

    Args:
        name: Of the table in the card.
        file: Name of the file.
        columns: By header.
        rows: Rows that were looked at.
        separator: Of the fields of a text file; None for other files.
        encoding: Of a text file.
        header: False when the file has no line of headers, so that the names are guessed.
    """

    name: str
    file: str
    columns: dict[str, ColumnProfile] = field(default_factory=dict)
    rows: int = 0
    separator: str | None = None
    encoding: str = "utf-8"
    header: bool = True


def profile_folder(folder: str | Path) -> list[TableProfile]:
    """Return the profiles of all tables in a folder, by name of the file.

    Raises:
        GraphRecError: When there is no folder or no table in it.
    """
    folder = Path(folder)
    if not folder.is_dir():
        got = "a file" if folder.exists() else "none"
        raise GraphRecError(str(folder), "a folder of tables", got, "the folder that holds them")
    files = [path for path in sorted(folder.iterdir()) if path.suffix.lower() in TABLES]
    if not files:
        raise GraphRecError(str(folder), f"files that end in {', '.join(TABLES)}", "none of them")
    return [profile_table(path) for path in files]


def profile_table(path: Path) -> TableProfile:
    """Return the profile of a table.

    Raises:
        GraphRecError: For a file that cannot be read as a table.
    """
    separator, encoding, header = None, "utf-8", True
    try:
        if path.suffix.lower() == ".parquet":
            frame = pl.scan_parquet(path).head(ROWS).collect()
        elif path.suffix.lower() in (".json", ".jsonl", ".ndjson"):
            frame = _json(path)
        else:
            separator, encoding, header = _layout(path)
            frame = _delimited(path, separator, encoding, header)
    except (OSError, ValueError, pl.exceptions.PolarsError) as error:
        got = str(error).splitlines()[0]
        raise GraphRecError(path.name, "a table with one line of headers", got) from error
    name = re.sub(r"\W+", "_", path.stem).strip("_") or "table"
    columns = {column.name: profile_column(column, len(frame)) for column in frame}
    return TableProfile(name, path.name, columns, len(frame), separator, encoding, header)


def profile_column(column: pl.Series, rows: int) -> ColumnProfile:
    """Return the profile of a column of any type."""
    name, dtype = column.name, column.dtype
    if isinstance(dtype, pl.Date | pl.Datetime):
        values = column.drop_nulls().cast(pl.String)
        return ColumnProfile(name, "time" if len(values) else "empty", values, rows)
    if isinstance(dtype, pl.List):
        inner = column.drop_nulls().explode().drop_nulls().cast(pl.String)
        return ColumnProfile(name, "list", inner, rows)
    if isinstance(dtype, pl.Struct | pl.Array | pl.Binary | pl.Object):
        return ColumnProfile(name, "empty", pl.Series(name, [], dtype=pl.String), rows)
    values = column.cast(pl.String).str.strip_chars()
    values = values.filter(values.is_not_null() & (values != ""))
    if not len(values):
        return ColumnProfile(name, "empty", values, rows)
    return _of_texts(name, values, rows)


def _of_texts(name: str, values: pl.Series, rows: int) -> ColumnProfile:
    numbers = values.cast(pl.Float64, strict=False)
    share = 1 - numbers.null_count() / len(values)
    if share >= MOSTLY:
        odd = tuple(values.filter(numbers.is_null()).unique().head(3).to_list())
        middle = numbers.drop_nulls().median()
        low = numbers.min()
        for unit, (first, last) in EPOCH.items():
            timely = re.search(r"time|date|stamp|\bts\b|created|when", name, re.IGNORECASE)
            if (
                timely
                and isinstance(low, float)
                and isinstance(middle, float)
                and first <= middle <= last
            ):
                return ColumnProfile(name, "time", values, rows, unit=unit, odd=odd)
        return ColumnProfile(name, "number", values, rows, odd=odd)
    some = values.unique(maintain_order=True).head(TRIED)
    if (found := _time_format(some)) is not None:
        pattern, odd = found
        return ColumnProfile(name, "time", values, rows, format=pattern, odd=odd)
    priced = some.map_elements(lambda text: bool(PRICE.match(text)), return_dtype=pl.Boolean)
    digits = some.str.contains(r"\d[.,]\d|[€$£¥]")
    if _mean(priced & digits) == 1:
        return ColumnProfile(name, "written_number", values, rows)
    for between in (" > ", ">", " / ", " » "):
        if _mean(some.str.contains(between, literal=True)) >= 0.3:
            return ColumnProfile(name, "path", values, rows, separator=between)
    words = some.str.count_matches(r"\s+") + 1
    length = _mean(some.str.len_chars())
    for between in ("|", ";", ","):
        several = _mean(some.str.contains(between, literal=True))
        parts = values.str.split(between).explode().str.strip_chars()
        if several >= 0.2 and parts.n_unique() <= 0.5 * len(parts) and length < 80:
            return ColumnProfile(name, "list", values, rows, separator=between)
    if _mean(words) >= 3.5 or length >= 30:
        return ColumnProfile(name, "prose", values, rows)
    return ColumnProfile(name, "label", values, rows)


def _mean(numbers: pl.Series) -> float:
    return float(numbers.cast(pl.Float64).to_numpy().mean()) if len(numbers) else 0.0


def _time_format(some: pl.Series) -> tuple[str, tuple[str, ...]] | None:
    """Return the pattern that most values have, and values that have another one."""
    digits = some.str.contains(r"\d")
    wordy, some = some.filter(~digits), some.filter(digits)
    if not len(some) or len(wordy) > len(some) or _mean(some.str.contains(r"\d[-/.: ]")) < MOSTLY:
        return None
    best: tuple[float, str, pl.Series] | None = None
    for pattern in FORMATS:
        chrono = pattern.replace(".%f", "%.f")
        try:
            if "%z" in pattern or "%Z" in pattern:
                read = some.str.to_datetime(chrono, strict=False, time_zone="UTC")
            elif "%H" in pattern or "%I" in pattern:
                read = some.str.to_datetime(chrono, strict=False)
            else:
                read = some.str.to_date(chrono, strict=False).cast(pl.Datetime)
        except pl.exceptions.PolarsError:
            continue
        share = 1 - read.null_count() / len(some)
        if best is None or share > best[0]:
            best = share, pattern, some.filter(read.is_null())
    if best is None or best[0] < 0.8:
        return None
    return best[1], (*best[2].head(3), *wordy.head(3))


def _layout(path: Path) -> tuple[str, str, bool]:
    """Return separator and encoding of a text file, and whether its first line has headers."""
    with path.open("rb") as file:
        head = file.read(1 << 16)
    encoding = "utf-8"
    try:
        head[: head.rfind(b"\n") + 1 or None].decode("utf-8")
    except UnicodeDecodeError:
        encoding = "cp1252"
    lines = head.decode(encoding, errors="replace").lstrip("\ufeff").splitlines()
    first = re.sub(r'"[^"]*"', "", lines[0]) if lines else ""
    separator = max(SEPARATORS, key=first.count)
    cells = [cell.strip(' "') for cell in (lines[0] if lines else "").split(separator)]
    header = not any(re.fullmatch(r"-?\d+([.,]\d+)?", cell) for cell in cells)
    return separator, encoding, header


def _delimited(path: Path, separator: str, encoding: str, header: bool) -> pl.DataFrame:
    frame = pl.read_csv(
        path,
        separator=separator,
        has_header=header,
        infer_schema=False,
        n_rows=ROWS,
        encoding="utf8" if encoding == "utf-8" else encoding,
        truncate_ragged_lines=True,
    )
    if header:
        return frame
    names = ["user", "item"][: frame.width]
    for column in frame.columns[len(names) :]:
        numbers = frame[column].cast(pl.Float64, strict=False)
        middle = numbers.median()
        timely = isinstance(middle, float) and middle >= EPOCH["s"][0]
        name = "time" if timely else "rating"
        names.append(name if name not in names else f"column_{len(names) + 1}")
    return frame.rename(dict(zip(frame.columns, names, strict=True)))


def _json(path: Path) -> pl.DataFrame:
    with path.open(encoding="utf-8-sig") as file:
        first = file.read(1)
        file.seek(0)
        if first == "[":
            return pl.DataFrame(json.load(file)[:ROWS], infer_schema_length=None, strict=False)
    return pl.read_ndjson(path, n_rows=ROWS, infer_schema_length=None)

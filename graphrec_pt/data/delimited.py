"""Delimited text (CSV, TSV, ``::`` and others): checked line by line, then read as columns."""

import csv
import mmap
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import polars as pl

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.core.printable import counted
from graphrec_pt.data.card import TablePlan
from graphrec_pt.data.problems import Problems
from graphrec_pt.data.raw import RawFile
from graphrec_pt.data.reader import empty

SEPARATORS = (",", "\t", ";", "|", "::", " ")
LINE = "__line"
BLOCK = 1 << 24
QUOTE_HINT = "`quote: null` in the card, which reads quotes as text"
UNENDED = "a quote that does not end its field"
ESCAPE_HINT = "`escape: '\\\\'` in the card"


class Delimited:
    """One delimited file; its quotes and line ends are checked before any row is read.

    Args:
        file: The file.
        plan: Separator, header, quoting, encoding, null texts.
        scratch: Where to put a decompressed, re-encoded or cleaned copy, if one is needed.
        problems: Where joined lines and short rows are reported.

    Raises:
        GraphRecError: For an empty file, a quote that does not end, or rows that are too long.
    """

    place = ":"

    def __init__(self, file: RawFile, plan: TablePlan, scratch: Path, problems: Problems) -> None:
        self.file, self.plan, self.problems = file, plan, problems
        self.scratch = scratch
        self.separator = plan.separator or default_separator(file)
        self.path = file.utf8(scratch, plan.encoding)
        self.starts: pl.Series | None = None  # line of each row, where it is not the row's number
        first = self._first_line()
        names = plan.header if isinstance(plan.header, tuple) else None
        self.wide = len(self.separator.encode()) > 1
        self.names = list(names or (self._split(first) if self.wide else ()))
        self.width = len(self.names or self._split(first))
        if names is not None or self.wide:
            self._check_width(first)
        if self.wide and _holds(self.path, "\x1f"):
            got, hint = "the control character \\x1f", "a separator of one character"
            raise GraphRecError(file.name, "lines of plain text", got, hint)
        try:
            self._survey()
        except pl.exceptions.PolarsError as error:
            self.explain(error)
            got = str(error).splitlines()[0]
            raise GraphRecError(self.file.name, "a readable file", got) from error

    def scan(self, dtypes: Mapping[str, type[pl.DataType]], *, numbered: bool) -> pl.LazyFrame:
        """Return the rows; columns are text unless `dtypes` says otherwise.

        Args:
            dtypes: Column → type to parse while reading.
            numbered: Add a column ``__line`` with the number of the line where the row begins.
        """
        header = self.plan.header is True
        rows = pl.scan_csv(
            self.path,
            # A control character that no text file uses gives one column, the whole line.
            separator="\x1f" if self.wide else self.separator,
            has_header=header,
            new_columns=["line"] if self.wide else self.names or None,
            quote_char=None if self.wide else self.plan.quote,
            null_values=None if self.wide else ["", *self.plan.missing],
            infer_schema=False,
            schema_overrides=dict(dtypes) or None if not self.wide else None,
            row_index_name=LINE if numbered else None,
            row_index_offset=int(header) + int(self.starts is None),
            truncate_ragged_lines=self.wide,
            low_memory=not self.wide,
        )
        starts = self.starts
        if numbered and starts is not None:
            at = pl.col(LINE).map_batches(
                lambda rows: starts.gather(rows), return_dtype=pl.Int64, is_elementwise=True
            )
            rows = rows.with_columns(at)
        return self._fields(rows) if self.wide else rows

    def recover(self) -> bool:
        """Return False: there is only one way to read the file."""
        return False

    def explain(self, error: Exception) -> None:
        """Raise an error that names the line that made polars fail, if it can be found."""
        if isinstance(error, pl.exceptions.NoDataError):
            raise empty(self.file)
        for _ in self.file.texts(self.plan.encoding):
            pass
        self._survey(closely=True)

    def _fields(self, lines: pl.LazyFrame) -> pl.LazyFrame:
        null = ["", *self.plan.missing]
        fields = [
            pl.when(pl.col(name).is_in(null)).then(None).otherwise(pl.col(name)).alias(name)
            for name in self.names
        ]
        split = pl.col("line").str.splitn(self.separator, len(self.names))
        split = split.struct.rename_fields(self.names)
        return lines.with_columns(split.struct.unnest()).drop("line").with_columns(fields)

    def _first_line(self) -> str:
        who = f"{self.file.name}:1"
        with self.path.open("rb") as stream:
            line = stream.readline().decode("utf-8-sig", errors="replace").rstrip("\r\n")
            if not line.strip() and not stream.read(BLOCK).strip():
                raise empty(self.file)
        if not line.strip():
            raise GraphRecError(who, "a first line with text", "a blank one", "deleting it")
        if "\r" in line:
            hint = "saving it with Unix line ends"
            raise GraphRecError(who, "lines that end in \\n", "\\r alone", hint)
        if re.fullmatch(r"\"?sep=.\"?", line, re.IGNORECASE):
            hint = f"deleting that line and `separator: {line.strip(chr(34))[4]!r}` in the card"
            raise GraphRecError(who, "a line of the table", f"{line!r}, a note to Excel", hint)
        return line

    def _split(self, line: str) -> list[str]:
        if self.wide or not self.plan.quote:
            return line.split(self.separator)
        try:
            return next(csv.reader([line], delimiter=self.separator, quotechar=self.plan.quote))
        except csv.Error:  # a field beyond the limit of the csv module
            return line.split(self.separator)

    def _check_width(self, line: str) -> None:
        width = len(self._split(line))
        if width < self.width or (width > self.width and self.plan.quote is None):
            guess = guess_separator(line)
            hint = f"`separator: {guess!r}` in the card"
            raise GraphRecError(
                f"{self.file.name}:1",
                f"{counted(self.width, 'field')} separated by {self.separator!r}",
                width,
                hint if guess not in (self.separator, None) else "",
            )

    def _survey(self, *, closely: bool = False) -> None:
        """Find out whether lines are rows, and make a clean copy where they are not."""
        # A long row and a short one agree in sum; polars then stops at the long one.
        closely |= self.plan.bad_rows == "drop"
        quote = None if self.wide else self.plan.quote
        if quote and self.plan.escape:
            return self._rewrite(self.plan.escape)
        quoted = quote is not None and _holds(self.path, quote)
        if not (quoted or self.wide or closely) and self._counts_agree():
            return None
        lines = pl.scan_csv(
            self.path,
            separator="\x1f",
            has_header=False,
            new_columns=["text"],
            quote_char=None,
            infer_schema=False,
            row_index_name=LINE,
            row_index_offset=1,
            truncate_ragged_lines=True,
        ).filter(pl.col("text").str.strip_chars() != "")
        bare = pl.col("text")
        if quoted and quote is not None:
            has_quote = bare.str.contains(quote, literal=True)
            odd = lines.filter(has_quote & ~bare.str.contains(f"^{self._row('strict')}$"))
            if odd.select(pl.len()).collect(engine="streaming").item():
                return self._walk(quote)
            bare = bare.str.replace_all(self._pattern["closed"], "")
        seps = bare.str.count_matches(self.separator, literal=True)
        misfits = lines.filter(seps != self.width - 1).select(LINE, fields=seps + 1)
        self._tell_widths(misfits.collect(engine="streaming").rows())
        return None

    def _counts_agree(self) -> bool:
        """Say whether the file has as many separators as full rows would have."""
        content = np.memmap(self.path, np.uint8, "r")
        separators = lines = 0
        for start in range(0, len(content), BLOCK):
            block = content[start : start + BLOCK]
            separators += int(np.count_nonzero(block == ord(self.separator)))
            lines += int(np.count_nonzero(block == ord("\n")))
        lines += int(content[-1] != ord("\n"))
        return separators == lines * (self.width - 1)

    def _tell_widths(self, misfits: Sequence[tuple[int, int]]) -> None:
        """Report rows shorter than the first line, and refuse longer ones."""
        long = [(line, fields) for line, fields in misfits if fields > self.width]
        short = [line for line, fields in misfits if fields < self.width]
        name = self.file.name
        if short:
            self.problems.note(
                f"{name}: {counted(len(short), 'row')} with fewer than {self.width} fields (first "
                f"{name}:{short[0]}); the fields that lack are empty"
            )
        if not long or self.wide:
            if long:
                self.problems.note(
                    f"{name}: {counted(len(long), 'row')} with more than {self.width} fields "
                    f"(first {name}:{long[0][0]}); the last field keeps the rest"
                )
            return
        what = counted(self.width, "field")
        if self.plan.bad_rows == "error":
            hint = "`quote: null`, another `separator` or `bad_rows: drop` in the card"
            raise GraphRecError(f"{name}:{long[0][0]}", what, long[0][1], hint)
        examples = [f"{name}:{line} {fields} fields" for line, fields in long]
        self.problems.meet(f"table file {name}", what, len(long), examples, drop=True, hint="")
        self._copy_without({line for line, _ in long})

    def _copy_without(self, bad: set[int]) -> None:
        copy, starts = self._clean(), []
        with self.path.open("rb") as lines, copy.open("wb") as out:
            for number, line in enumerate(lines, 1):
                if number not in bad:
                    starts.append(number)
                    out.write(line)
        self.path, self.starts = copy, pl.Series(starts, dtype=pl.Int64)

    def _walk(self, quote: str) -> None:
        """Follow quotes over lines, as RFC 4180 has them; refuse those that do not end."""
        patterns = {name: re.compile(text) for name, text in self._lines.items()}
        name, opened, joined, literal, first = self.file.name, 0, 0, 0, 0
        begun = ""
        starts: list[int] = []
        rows: set[int] = set()
        like_rows = False
        for number, line in self._texts():
            if not opened:
                starts.append(number)
                if quote not in line or patterns["strict"].fullmatch(line):
                    continue
                if patterns["lenient"].fullmatch(line):
                    literal, first = literal + 1, first or number
                elif patterns["opens"].fullmatch(line):
                    opened, begun = number, line
                else:
                    raise self._bad_quote(number, line, UNENDED)
                continue
            joined += 1
            rows.add(opened)
            like_rows |= line.count(self.separator) == self.width - 1 > 0
            if f"\\{quote}" in begun + line:
                raise self._bad_quote(opened, begun + line, UNENDED)
            if quote not in line or patterns["inside"].fullmatch(line):
                continue
            if patterns["closes"].fullmatch(line):
                opened = 0
            elif not patterns["reopens"].fullmatch(line):
                raise self._bad_quote(opened, line, UNENDED)
        if opened:
            raise self._bad_quote(opened, begun, "a quote that is never closed")
        if joined:
            lines, made = counted(joined + len(rows), "line"), counted(len(rows), "row")
            note = f"{name}: quoted fields join {lines} into {made} (first {name}:{min(rows)})"
            if like_rows:
                note += "; some of them look like rows: `quote: null` keeps lines apart"
            self.problems.note(note)
            self.starts = pl.Series(starts, dtype=pl.Int64)
        if literal:
            self.problems.note(
                f"{name}: {counted(literal, 'line')} with quotes inside a field (first "
                f"{name}:{first}); they are read as text"
            )
        self._rewrite(None)

    def _bad_quote(self, number: int, texts: str, got: str) -> GraphRecError:
        what = f"{counted(self.width, 'field')} with closed quotes"
        hint = QUOTE_HINT
        if f"\\{self.plan.quote}" in texts:
            got, hint = "quotes after a backslash", ESCAPE_HINT
        return GraphRecError(f"{self.file.name}:{number}", what, got, hint)

    def _rewrite(self, escape: str | None) -> None:
        """Copy the rows with quotes that every program reads alike."""
        copy, starts, misfits = self._clean(), [], []
        quote = self.plan.quote or '"'
        # Lines must keep their ends, or a line break inside a field would be lost.
        texts = (text for _, text in self._texts(keep_ends=True))
        rows = csv.reader(
            texts, delimiter=self.separator, quotechar=quote, escapechar=escape, strict=True
        )
        begin = 1
        try:
            with copy.open("w", encoding="utf-8", newline="") as out:
                writer = csv.writer(
                    out, delimiter=self.separator, quotechar=quote, lineterminator="\n"
                )
                for row in rows:
                    if len(row) > self.width and self.plan.bad_rows == "drop":
                        misfits.append((begin, len(row)))
                    elif row:
                        if len(row) != self.width:
                            misfits.append((begin, len(row)))
                        starts.append(begin)
                        writer.writerow(row)
                    begin = rows.line_num + 1
        except csv.Error as error:
            hint = QUOTE_HINT
            raise GraphRecError(
                f"{self.file.name}:{begin}", "closed quotes", error, hint
            ) from error
        long = [misfit for misfit in misfits if misfit[1] > self.width]
        if long and self.plan.bad_rows == "drop":
            examples = [f"{self.file.name}:{line} {fields} fields" for line, fields in long]
            where, what = f"table file {self.file.name}", counted(self.width, "field")
            self.problems.meet(where, what, len(long), examples, drop=True, hint="")
            misfits = [misfit for misfit in misfits if misfit[1] < self.width]
        self._tell_widths(misfits)
        self.path, self.starts = copy, pl.Series(starts, dtype=pl.Int64)

    def _texts(self, *, keep_ends: bool = False) -> Iterator[tuple[int, str]]:
        with self.path.open("rb") as lines:
            for number, line in enumerate(lines, 1):
                try:
                    text = line.decode("utf-8-sig" if number == 1 else "utf-8")
                except UnicodeDecodeError as error:
                    self.explain(error)
                    raise GraphRecError(f"{self.file.name}:{number}", "utf-8 text") from error
                yield number, text if keep_ends else text.rstrip("\r\n")

    def _clean(self) -> Path:
        return self.scratch / f"clean-{abs(hash((self.file, str(self.plan)))):x}-{self.file.name}"

    @cached_property
    def _pattern(self) -> dict[str, str]:
        assert self.plan.quote is not None
        q, s = (f"\\x{ord(c):02x}" for c in (self.plan.quote, self.separator))
        closed = f"{q}(?:[^{q}]|{q}{q})*{q}"
        return {
            "q": q,
            "s": s,
            "closed": closed,
            "strict": f"(?:{closed}|[^{s}{q}]*)",
            "lenient": f"(?:{closed}|[^{s}{q}][^{s}]*|)",
            "inside": f"(?:[^{q}]|{q}{q})*",
        }

    def _row(self, field: str) -> str:
        pattern = self._pattern
        return f"{pattern[field]}(?:{pattern['s']}{pattern[field]})*"

    @property
    def _lines(self) -> dict[str, str]:
        """Patterns of whole lines: full rows, and the lines of a field that holds line breaks."""
        p = self._pattern
        rest = f"(?:{p['s']}{p['lenient']})*"
        return {
            "strict": self._row("strict"),
            "lenient": self._row("lenient"),
            "opens": f"(?:{p['lenient']}{p['s']})*{p['q']}{p['inside']}",
            "inside": p["inside"],
            "closes": f"{p['inside']}{p['q']}{rest}",
            "reopens": f"{p['inside']}{p['q']}{rest}{p['s']}{p['q']}{p['inside']}",
        }


def guess_separator(line: str) -> str | None:
    """Return the separator that a line most likely uses, if any occurs in it."""
    counts = {separator: line.count(separator) for separator in SEPARATORS}
    best = max(counts, key=lambda s: (counts[s], len(s)))
    return best if counts[best] else None


def default_separator(file: RawFile) -> str:
    """Return the separator that the ending of a file stands for."""
    return "\t" if file.name.lower().endswith((".tsv", ".inter", ".kg", ".link")) else ","


def _holds(path: Path, text: str) -> bool:
    with path.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as all_:
        return all_.find(text.encode()) >= 0

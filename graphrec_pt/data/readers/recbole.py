"""Atomic files of RecBole: tables whose header names the type of each field."""

import re
from collections.abc import Sequence
from dataclasses import field

import polars as pl

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.data.raw import RawFile
from graphrec_pt.data.reader import read_lines, reader, require_fields

KINDS = ("token", "token_seq", "float", "float_seq")


SPLIT = "split"
GIVEN = re.compile(r"(?P<name>.+)\.(?P<part>train|valid|val|validation|dev|test)\.inter")
PARTS = {"train": "train", "test": "test"}
"""Names in files → those of the protocol ``fixed``; all others are validation."""


def given_parts(files: Sequence[RawFile]) -> list[str | None]:
    """Return which part of a given split each file is, None for all where there is no split.

    Raises:
        GraphRecError: For parts of several data sets, and parts beside a file of all events.
    """
    matches = [GIVEN.fullmatch(file.name) for file in files]
    if not any(matches):
        return [None] * len(files)
    names = {match["name"] if match else None for match in matches}
    if len(names) > 1:
        got = ", ".join(sorted(file.name for file in files)[:4])
        raise GraphRecError(
            "recbole", "the .inter files of one data set, whole or in parts", got, "removing others"
        )
    return [PARTS.get(match["part"], "valid") for match in matches if match]


@reader("recbole")
class RecBole:
    """``.inter``, ``.user``, ``.item``, ``.kg``, ``.link`` or ``.net`` → part ``rows``.

    ``rows`` has the fields without their types: tokens as text, floats as numbers, sequences as
    lists. Part ``attributes`` has a row per node and token of its descriptive fields: ``id`` (the
    first field), ``field``, ``value``, ``attribute`` (``field=value``). Files called
    ``NAME.train.inter``, ``NAME.valid.inter`` and ``NAME.test.inter`` (RecBole's
    ``benchmark_filename``; ``val``, ``validation`` and ``dev`` serve as well) are one given split:
    ``rows`` then has a column ``split`` with ``train``, ``valid`` or ``test``.

    Args:
        separator: Between fields.
        sequence_separator: Between the elements of a sequence.
        fields: Fields that make attributes; by default every token field but the first.
        defaults: Numbers for fields that the file lacks.
    """

    separator: str = "\t"
    sequence_separator: str = " "
    fields: tuple[str, ...] | None = None
    defaults: dict[str, float] = field(default_factory=dict)

    def read(self, files: Sequence[RawFile]) -> dict[str, pl.DataFrame]:
        """Return the tables ``rows`` and ``attributes``."""
        read = [self._read_one(file) for file in files]
        parts = given_parts(files)
        every = [
            rows if part is None else rows.with_columns(pl.lit(part).alias(SPLIT))
            for (rows, _), part in zip(read, parts, strict=True)
        ]
        rows = pl.concat(every, how="diagonal_relaxed")
        missing = [pl.lit(v).alias(c) for c, v in self.defaults.items() if c not in rows.columns]
        return {"rows": rows.with_columns(missing), "attributes": pl.concat(a for _, a in read)}

    def _read_one(self, file: RawFile) -> tuple[pl.DataFrame, pl.DataFrame]:
        lines = read_lines(file)
        kinds = _header(file, lines["text"][0].split(self.separator))
        lines = lines.slice(1)
        count = pl.col("text").str.count_matches(self.separator, literal=True)
        expected = f"{len(kinds)} fields separated by {self.separator!r}"
        require_fields(file, lines, count == len(kinds) - 1, expected)
        if len(kinds) == 1:
            rows = lines.select(pl.col("text").alias(next(iter(kinds))), "line")
        else:
            fields = pl.col("text").str.split_exact(self.separator, len(kinds) - 1)
            rows = lines.select(fields.struct.rename_fields(list(kinds)), "line").unnest("text")
        rows = rows.with_columns(pl.col(pl.String).replace("", None))
        typed = rows.with_columns(self._typed(name, kind) for name, kind in kinds.items())
        for name, kind in kinds.items():
            if kind == "float":
                _require_number(file, rows[name], typed[name], rows["line"])
        typed = typed.drop("line")
        return typed, self._attributes(typed, kinds)

    def _typed(self, name: str, kind: str) -> pl.Expr:
        column = pl.col(name)
        if kind.endswith("_seq"):
            column = column.str.split(self.sequence_separator)
        if kind.startswith("float"):
            dtype = pl.List(pl.Float64) if kind == "float_seq" else pl.Float64
            column = column.cast(dtype, strict=False)
        return column

    def _attributes(self, rows: pl.DataFrame, kinds: dict[str, str]) -> pl.DataFrame:
        first = next(iter(kinds))
        tokens = [n for n, k in kinds.items() if k.startswith("token") and n != first]
        wanted = [n for n in tokens if self.fields is None or n in self.fields]
        schema = {"id": pl.String, "field": pl.String, "value": pl.String, "attribute": pl.String}
        made = [pl.DataFrame(schema=schema)]
        for name in wanted:
            values = rows.select(id=first, field=pl.lit(name), value=name)
            values = values.explode("value") if kinds[name] == "token_seq" else values
            made.append(values.drop_nulls().with_columns(attribute=name + "=" + pl.col("value")))
        return pl.concat(made)


def _header(file: RawFile, header: list[str]) -> dict[str, str]:
    kinds = {name: kind for name, _, kind in (field.rpartition(":") for field in header)}
    if any(kind not in KINDS or not name for name, kind in kinds.items()):
        got = ", ".join(header)[:80]
        raise GraphRecError(
            f"{file.name}:1", "fields as name:type", got, "types " + ", ".join(KINDS)
        )
    return kinds


def _require_number(file: RawFile, text: pl.Series, number: pl.Series, line: pl.Series) -> None:
    bad = text.is_not_null() & number.is_null()
    if bad.any():
        at = bad.arg_true()[0]
        raise GraphRecError(f"{file.name}:{line[at]}", f"a number in {text.name!r}", repr(text[at]))

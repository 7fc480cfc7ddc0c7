"""One record a line, as JSON or as a Python literal: the metadata of the Amazon reviews."""

import ast
import json
from collections.abc import Iterator, Sequence
from typing import Any

import polars as pl

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.data.raw import RawFile
from graphrec_pt.data.reader import reader, require_paths


@reader("loose_json_lines")
class LooseJsonLines:
    """Part ``records``: one row per line, one text column per field.

    Every list column is a part of its own name too: a row per value, beside the other columns.
    Lines are parsed as literals; nothing in them is ever executed.

    Args:
        fields: Column → where it is in the record, with dots between levels; a path leads into
            every element of a list on its way.
        lists: Columns that keep every value of (nested) lists; of the others the text of the
            value, lists joined by spaces.
    """

    fields: dict[str, str]
    lists: tuple[str, ...] = ()

    def read(self, files: Sequence[RawFile]) -> dict[str, pl.DataFrame]:
        """Return the table ``records``, and one for each list column."""
        columns: dict[str, list[Any]] = {name: [] for name in self.fields}
        seen: set[str] = set()
        known: dict[str, None] = {}
        for file in files:
            for number, line in file.lines():
                if line.strip():
                    record = _parse(file, number, line)
                    known |= dict.fromkeys(record)
                    for name, path in self.fields.items():
                        places = list(_at(record, path))
                        seen |= {name} if places else set()
                        values = list(_flat(places))
                        text = " ".join(values) if values else None
                        columns[name].append(values if name in self.lists else text)
        if known:
            require_paths("loose_json_lines.fields", self.fields, seen, set(known))
        schema = {n: pl.List(pl.String) if n in self.lists else pl.String for n in self.fields}
        records = pl.DataFrame(columns, schema=schema)
        return {"records": records} | {
            name: records.filter(pl.col(name).list.len() > 0).explode(name) for name in self.lists
        }


def _parse(file: RawFile, number: int, line: str) -> dict[str, Any]:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        try:
            record = ast.literal_eval(line.strip())
        except (ValueError, SyntaxError, MemoryError, RecursionError) as error:
            raise GraphRecError(
                f"{file.name}:{number}", "a record in braces", repr(line[:60])
            ) from error
    if not isinstance(record, dict):
        raise GraphRecError(f"{file.name}:{number}", "a record in braces", type(record).__name__)
    return record


def _at(record: Any, path: str) -> Iterator[Any]:
    """Yield what a path leads to, in every element of the lists on its way."""
    if isinstance(record, list | tuple):
        for inner in record:
            yield from _at(inner, path)
    elif isinstance(record, dict):
        step, _, rest = path.partition(".")
        if path in record:  # a key that has dots itself
            yield record[path]
        elif rest and step in record:
            yield from _at(record[step], rest)


def _flat(value: Any) -> Iterator[str]:
    if isinstance(value, list | tuple):
        for inner in value:
            yield from _flat(inner)
    elif value is not None and value != "":
        yield str(value)

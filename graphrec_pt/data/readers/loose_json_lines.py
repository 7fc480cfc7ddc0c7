"""One record a line, as JSON or as a Python literal: the metadata of the Amazon reviews."""

import ast
import json
from collections.abc import Iterator, Sequence
from typing import Any

import polars as pl

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.data.raw import RawFile
from graphrec_pt.data.reader import reader


@reader("loose_json_lines")
class LooseJsonLines:
    """Part ``records``: one row per line, one text column per field.

    Every list column is a part of its own name too: a row per value, beside the other columns.
    Lines are parsed as literals; nothing in them is ever executed.

    Args:
        fields: Column → where it is in the record, with dots between levels.
        lists: Columns that keep every value of (nested) lists; of the others the text of the
            value, lists joined by spaces.
    """

    fields: dict[str, str]
    lists: tuple[str, ...] = ()

    def read(self, files: Sequence[RawFile]) -> dict[str, pl.DataFrame]:
        """Return the table ``records``, and one for each list column."""
        columns: dict[str, list[Any]] = {name: [] for name in self.fields}
        for file in files:
            for number, line in file.lines():
                if line.strip():
                    record = _parse(file, number, line)
                    for name, path in self.fields.items():
                        values = list(_flat(_at(record, path)))
                        text = " ".join(values) if values else None
                        columns[name].append(values if name in self.lists else text)
        schema = {n: pl.List(pl.String) if n in self.lists else pl.String for n in self.fields}
        records = pl.DataFrame(columns, schema=schema)
        return {"records": records} | {
            name: records.filter(pl.col(name).list.len() > 0).explode(name) for name in self.lists
        }


def _parse(file: RawFile, number: int, line: str) -> dict[str, Any]:
    try:
        record = json.loads(line)
    except json.JSONDecodeError:
        try:
            record = ast.literal_eval(line.strip())
        except (ValueError, SyntaxError, MemoryError, RecursionError) as error:
            raise GraphRecError(
                f"{file.name}:{number}", "a record in braces", repr(line[:60])
            ) from error
    if not isinstance(record, dict):
        raise GraphRecError(f"{file.name}:{number}", "a record in braces", type(record).__name__)
    return record


def _at(record: Any, path: str) -> Any:
    for step in path.split("."):
        record = record.get(step) if isinstance(record, dict) else None
    return record


def _flat(value: Any) -> Iterator[str]:
    if isinstance(value, list | tuple):
        for inner in value:
            yield from _flat(inner)
    elif value is not None and value != "":
        yield str(value)

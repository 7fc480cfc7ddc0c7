"""JSON objects that encode tables: keys with lists, and named maps."""

from collections.abc import Sequence
from typing import Any

import polars as pl

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.data.raw import RawFile
from graphrec_pt.data.reader import read_json, reader, require_object, require_paths


@reader("keyed_lists")
class KeyedLists:
    """``{"key": [value, …], …}`` → part ``lists``: ``key``, ``value``, ``position`` (from 0)."""

    def read(self, files: Sequence[RawFile]) -> dict[str, pl.DataFrame]:
        """Return the table ``lists``."""
        keys: list[str] = []
        values: list[list[str]] = []
        for file in files:
            for key, value in require_object(file, read_json(file)).items():
                if not isinstance(value, list):
                    raise GraphRecError(f"{file.name} {key!r}", "a list", repr(value)[:60])
                keys.append(key)
                values.append([str(v) for v in value])
        frame = pl.DataFrame({"key": keys, "value": pl.Series(values, dtype=pl.List(pl.String))})
        frame = frame.filter(pl.col("value").list.len() > 0)
        positions = pl.int_ranges(0, pl.col("value").list.len())
        return {"lists": frame.with_columns(position=positions).explode("value", "position")}


@reader("json_object")
class JsonObject:
    """``{"map": {"key": value, …}, …}`` → one part per map: ``key``, ``value``, both text.

    An object without inner objects is one map, the part ``map``.
    """

    def read(self, files: Sequence[RawFile]) -> dict[str, pl.DataFrame]:
        """Return one table per map."""
        maps: dict[str, dict[str, Any]] = {}
        for file in files:
            content = require_object(file, read_json(file))
            inner = {k: v for k, v in content.items() if isinstance(v, dict)}
            maps |= inner or {"map": content}
        return {name: _rows(values) for name, values in maps.items()}


@reader("json_records")
class JsonRecords:
    """``{"id": {"field": value, …}, …}`` or ``[{"field": value, …}, …]`` → part ``records``.

    Args:
        fields: Fields to keep, as text; the key of an object becomes ``id``.
    """

    fields: tuple[str, ...]

    def read(self, files: Sequence[RawFile]) -> dict[str, pl.DataFrame]:
        """Return the table ``records``."""
        rows = []
        seen: set[str] = set()
        for file in files:
            content = read_json(file)
            if not isinstance(content, dict | list):
                got = f"a {type(content).__name__}"
                raise GraphRecError(file.name, "a JSON list or object", got)
            pairs = content.items() if isinstance(content, dict) else enumerate(content)
            for key, value in pairs:
                record = {"id": str(key), **require_object(file, value)}
                seen |= record.keys()
                rows.append([_text(record.get(field)) for field in self.fields])
        if rows:
            paths = {field: field for field in self.fields}
            require_paths("json_records.fields", paths, seen, seen)
        schema = dict.fromkeys(self.fields, pl.String)
        return {"records": pl.DataFrame(rows, schema=schema, orient="row")}


def _rows(values: dict[str, Any]) -> pl.DataFrame:
    text = [None if value is None else str(value) for value in values.values()]
    return pl.DataFrame({"key": list(values), "value": text}, schema_overrides={"value": pl.String})


def _text(value: Any) -> str | None:
    if isinstance(value, list):
        value = " ".join(str(v) for v in value)
    return None if value in (None, "") else str(value)

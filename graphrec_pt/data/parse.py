"""Text and JSON of raw files, with the file and line of what does not parse."""

import json
from collections.abc import Iterator, Sequence
from typing import Any

import polars as pl

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.data.raw import RawFile


def read_lines(file: RawFile, encoding: str = "utf-8") -> pl.DataFrame:
    """Read a text file as ``line`` (number from 1) and ``text``.

    Raises:
        GraphRecError: For an empty file or a line in another encoding.
    """
    lines = [text for _, text in file.lines(encoding)]
    if not lines:
        raise empty(file)
    frame = pl.DataFrame({"text": pl.Series(lines, dtype=pl.String)})
    return frame.with_row_index("line", 1).with_columns(pl.col("line").cast(pl.Int64))


def require_fields(file: RawFile, lines: pl.DataFrame, good: pl.Expr, expected: str) -> None:
    """Refuse the first line of :func:`read_lines` for which `good` does not hold."""
    bad = lines.filter(~good)
    if len(bad):
        line, text = bad.select("line", "text").row(0)
        hint = "checking the separator, or downloading it again"
        raise GraphRecError(f"{file.name}:{line}", expected, repr(text[:60]), hint)


def read_json(file: RawFile) -> Any:
    """Read one JSON document.

    Raises:
        GraphRecError: At the line where it stops being JSON.
    """
    text = "\n".join(line for _, line in file.lines())
    if not text.strip():
        raise empty(file)
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        got = f"{error.msg} at column {error.colno}"
        raise GraphRecError(
            f"{file.name}:{error.lineno}", "JSON", got, "downloading it again"
        ) from error


def read_json_lines(file: RawFile) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield (line number, object) of a file with one JSON object a line.

    Raises:
        GraphRecError: At the first line that is not a JSON object.
    """
    for number, line in file.lines():
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except json.JSONDecodeError as error:
            raise GraphRecError(f"{file.name}:{number}", "a JSON object", error.msg) from error
        if not isinstance(value, dict):
            raise GraphRecError(f"{file.name}:{number}", "a JSON object", type(value).__name__)
        yield number, value


def require_object(file: RawFile, value: Any) -> dict[str, Any]:
    """Refuse JSON that is not an object."""
    if not isinstance(value, dict):
        raise GraphRecError(file.name, "a JSON object", f"a {type(value).__name__}")
    return value


def find_file(who: str, files: Sequence[RawFile], name: str) -> RawFile:
    """Return the file of that name among those a card's pattern found."""
    for file in files:
        if file.name == name:
            return file
    found = ", ".join(file.name for file in files)
    raise GraphRecError(who, f"a file {name}", found, "another --raw folder")


def empty(file: RawFile) -> GraphRecError:
    """Return the error of a file with nothing in it."""
    return GraphRecError(file.name, "at least one line", "an empty file", "downloading it again")

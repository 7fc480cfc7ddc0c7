"""The reader family: the registry, and functions that read lines and JSON with line numbers."""

import json
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Protocol

import polars as pl

from graphrec_pt.core.errors import GraphRecError, did_you_mean
from graphrec_pt.core.registry import Registry
from graphrec_pt.data.raw import RawFile


class Reader(Protocol):
    """Turns raw files into tables."""

    def read(self, files: Sequence[RawFile]) -> dict[str, pl.DataFrame]:
        """Return the named tables that the files hold.

        Raises:
            GraphRecError: With file and line number, when a file is not in the format.
        """
        ...


reader: Registry[Reader] = Registry("reader")
"""``@reader("name")`` makes a class usable as ``reader: name`` in a card's table."""

ReaderField = Annotated[Reader, reader]
"""Type of a config field that holds a reader."""


def read_lines(file: RawFile, encoding: str = "utf-8", *, keep_blank: bool = False) -> pl.DataFrame:
    """Read a text file as ``line`` (number from 1) and ``text``.

    Args:
        file: The file.
        encoding: Its text encoding.
        keep_blank: Whether blank lines count as rows; by default they are skipped.

    Raises:
        GraphRecError: For a file without text or a line in another encoding.
    """
    numbers: list[int] = []
    texts: list[str] = []
    for number, text in file.lines(encoding):
        if keep_blank or text.strip():
            numbers.append(number)
            texts.append(text)
    if not texts:
        raise empty(file)
    return pl.DataFrame({"line": numbers, "text": texts}, {"line": pl.Int64, "text": pl.String})


def require_fields(file: RawFile, lines: pl.DataFrame, good: pl.Expr, expected: str) -> None:
    """Refuse the first line of :func:`read_lines` for which `good` does not hold."""
    bad = lines.filter(~good)
    if len(bad):
        line, text = bad.select("line", "text").row(0)
        hint = "checking the separator, or downloading it again"
        raise GraphRecError(f"{file.name}:{line}", expected, repr(text[:60]), hint)


def require_paths(who: str, paths: dict[str, str], seen: set[str], known: set[str]) -> None:
    """Refuse options with a path that no record has.

    Args:
        who: The reader and its option.
        paths: Column → path in a record.
        seen: Columns whose path some record has.
        known: Keys of the records, for the hint.
    """
    for column, path in paths.items():
        if column not in seen:
            hint = did_you_mean(path.rpartition(".")[2], known)
            raise GraphRecError(f"{who}.{column}", "a path that a record has", repr(path), hint)


def read_json(file: RawFile, encoding: str = "utf-8") -> Any:
    """Read one JSON document.

    Raises:
        GraphRecError: At the line with the first syntax error.
    """
    text = "\n".join(line for _, line in file.lines(encoding))
    if not text.strip():
        raise empty(file)
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        got = f"{error.msg} at column {error.colno}"
        hint = "downloading it again"
        raise GraphRecError(f"{file.name}:{error.lineno}", "JSON", got, hint) from error
    except (RecursionError, ValueError) as error:  # nested too deep, numbers too long
        raise GraphRecError(file.name, "JSON of moderate depth and numbers", error) from error


def read_json_lines(file: RawFile, encoding: str = "utf-8") -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield (line number, object) of a file with one JSON object a line; blank lines are skipped.

    Raises:
        GraphRecError: At the first line that is not a JSON object.
    """
    for number, line in file.lines(encoding):
        if not line.strip():
            continue
        who = f"{file.name}:{number}"
        try:
            value = json.loads(line)
        except json.JSONDecodeError as error:
            hint = "one object a line, or one list of objects in a .json file"
            raise GraphRecError(who, "a JSON object", error.msg, hint) from error
        except (RecursionError, ValueError) as error:
            raise GraphRecError(who, "JSON of moderate depth and numbers", error) from error
        if not isinstance(value, dict):
            raise GraphRecError(who, "a JSON object", f"a {type(value).__name__}")
        yield number, value


def require_object(file: RawFile, value: Any) -> dict[str, Any]:
    """Refuse JSON that is not an object."""
    if not isinstance(value, dict):
        raise GraphRecError(file.name, "a JSON object", f"a {type(value).__name__}")
    return value


def find_file(who: str, files: Sequence[RawFile], name: str) -> RawFile:
    """Return the file of a given name among the files that match the card's pattern."""
    for file in files:
        if file.name == name:
            return file
    names = ", ".join(file.name for file in files)
    raise GraphRecError(who, f"a file {name}", names, "another --raw folder")


def empty(file: RawFile) -> GraphRecError:
    """Return the error for an empty file."""
    return GraphRecError(file.name, "at least one line", "an empty file", "downloading it again")

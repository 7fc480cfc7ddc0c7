"""Sessions as nested lists of whole numbers: Python text, JSON, or the bytes a pickler wrote.

Pickled bytes are never unpickled: this module interprets the few opcodes of lists, tuples and whole
numbers and refuses any other opcode, so a file cannot run code.
"""

import ast
import json
import pickletools
from collections.abc import Sequence
from itertools import chain
from typing import Any

import polars as pl

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.data.raw import RawFile
from graphrec_pt.data.reader import empty, reader

NUMBERS = {"BININT", "BININT1", "BININT2", "LONG1", "INT", "LONG"}
IGNORED = {"PROTO", "FRAME", "STOP", "BINPUT", "LONG_BINPUT", "PUT", "MEMOIZE"}
MARK = object()


@reader("nested_lists")
class NestedLists:
    """Part ``sessions``: ``session`` (``file/number``), ``item``, ``position``, ``file``.

    A file holds a list of sessions, or a pair (prefixes, next items) as SR-GNN's preprocessing
    writes its examples; of the prefixes of one session, which follow each other from the longest
    to the shortest, only the longest is kept, with its next item.
    """

    def read(self, files: Sequence[RawFile]) -> dict[str, pl.DataFrame]:
        """Return the table ``sessions``."""
        return {"sessions": pl.concat(_rows(file) for file in files)}


def _rows(file: RawFile) -> pl.DataFrame:
    with file.open() as stream:
        content = stream.read()
    if not content.strip():
        raise empty(file)
    parsed = _unpickled(file, content) if content[:1] == b"\x80" else _literal(file, content)
    stem = file.name.rpartition(".")[0] or file.name
    try:
        sessions = _sessions(parsed)
        sizes = pl.Series("size", [len(session) for session in sessions], dtype=pl.Int64)
        items = pl.Series("item", list(chain.from_iterable(sessions)), dtype=pl.Int64)
    except (TypeError, ValueError, IndexError, pl.exceptions.PolarsError) as error:
        raise GraphRecError(file.name, "a list of lists of whole numbers", error) from error
    frame = pl.DataFrame(sizes).with_row_index("number").filter(pl.col("size") > 0)
    frame = frame.with_columns(position=pl.int_ranges(0, pl.col("size"))).explode("position")
    return frame.select(
        pl.concat_str(pl.lit(stem + "/"), "number").alias("session"),
        items,
        "position",
        pl.lit(stem).alias("file"),
    )


def _sessions(parsed: Any) -> list[list[int]]:
    pair = len(parsed) == 2 and parsed[0] and isinstance(parsed[0][0], list)
    if not pair:
        return list(parsed)
    sessions: list[list[int]] = []
    last = 0
    for prefix, item in zip(*parsed, strict=True):
        session = [*prefix, item]
        if len(session) != last - 1 or sessions[-1][: len(session)] != session:
            sessions.append(session)
        last = len(session)
    return sessions


def _literal(file: RawFile, content: bytes) -> Any:
    text = content.decode("utf-8-sig", errors="replace").strip()
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        try:
            return ast.literal_eval(text)
        except (ValueError, SyntaxError, MemoryError, RecursionError) as error:
            line = getattr(error, "lineno", None) or 1
            raise GraphRecError(
                f"{file.name}:{line}", "a list of lists", repr(text[:60])
            ) from error


def _unpickled(file: RawFile, content: bytes) -> Any:
    stack: list[Any] = []
    try:
        for opcode, argument, position in pickletools.genops(content):
            name = opcode.name
            if name in NUMBERS:
                stack.append(argument)
            elif name not in IGNORED:
                _step(file, stack, name, position)
    except (ValueError, IndexError) as error:
        if isinstance(error, GraphRecError):
            raise
        raise GraphRecError(
            file.name, "complete lists of whole numbers", error, "downloading it again"
        ) from error
    return stack[-1]


def _step(file: RawFile, stack: list[Any], name: str, position: int | None) -> None:
    if name == "MARK":
        stack.append(MARK)
    elif name in ("EMPTY_LIST", "EMPTY_TUPLE"):
        stack.append([])
    elif name == "APPEND":
        item = stack.pop()
        stack[-1].append(item)
    elif name in ("APPENDS", "LIST", "TUPLE"):
        items = _to_mark(stack)
        if name == "APPENDS":
            stack[-1].extend(items)
        else:
            stack.append(items)
    elif name in ("TUPLE1", "TUPLE2", "TUPLE3"):
        stack[-int(name[-1]) :] = [stack[-int(name[-1]) :]]
    else:
        raise GraphRecError(
            f"{file.name} byte {position}",
            "only lists, tuples and whole numbers",
            f"the opcode {name}",
            "a text or JSON copy of the lists",
        )


def _to_mark(stack: list[Any]) -> list[Any]:
    start = len(stack) - 1
    while stack[start] is not MARK:
        start -= 1
    items = stack[start + 1 :]
    del stack[start:]
    return items

"""``graph.json``: the header of a stored graph, checked as untrusted input when it is read."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from graphrec_pt.core.documents import digest_of, read_json_object
from graphrec_pt.core.errors import GraphRecError, raise_all
from graphrec_pt.graph.schema import Schema

FORMAT = 1
NAME = "graph.json"
REQUIRED = ("offset", "slots", "base", "segment", "indices")
OPTIONAL = ("time", "weight", "edge")
MOST = 2**48
"""Upper limit of the numbers of nodes, edges and ids, so that no sum of them overflows."""


@dataclass(frozen=True)
class Header:
    """The content of ``graph.json`` with checked types; see :mod:`graphrec_pt.graph.store`."""

    schema: Schema
    fingerprint: str
    nodes: dict[str, int]
    edges: dict[str, int]
    arrays: tuple[str, ...]
    edge_tables: tuple[str, ...]
    edge_offset: dict[str, int]
    edge_ids: int
    provenance: dict[str, Any]
    checksums: dict[str, str]
    digest: str


def read_header(folder: Path) -> Header:
    """Return the header of a saved graph.

    Raises:
        GraphRecError: When there is no header, or it is damaged or of another format.
    """
    path, again = folder / NAME, "building it again"
    try:
        content = read_json_object(path, again)
    except (FileNotFoundError, NotADirectoryError):
        raise GraphRecError(
            str(folder), "a saved graph (graph.json)", "none", "`graphrec data build NAME`"
        ) from None
    except OSError as error:
        raise GraphRecError(str(path), "a file that can be read", error, again) from error
    if content.get("format") != FORMAT:
        raise GraphRecError(str(path), f"graph format {FORMAT}", content.get("format"), again)
    digest = content.pop("digest", "")
    if digest and digest != digest_of(content):
        raise GraphRecError(str(path), "the content that was saved", "another", again)
    shapes: dict[str, Callable[[Any], bool]] = {
        "fingerprint": lambda value: isinstance(value, str),
        "nodes": _counts,
        "edges": _counts,
        "arrays": lambda value: (
            _names(value) and set(REQUIRED) <= set(value) <= {*REQUIRED, *OPTIONAL}
        ),
        "edge_tables": _names,
        "edge_offset": _counts,
        "edge_ids": lambda value: isinstance(value, int) and 0 <= value < MOST,
        "provenance": lambda value: isinstance(value, dict),
        "checksums": lambda value: isinstance(value, dict),
    }
    content.setdefault("checksums", {})  # absent from graphs of an older format
    for name, right in shapes.items():
        if not right(content.get(name)):
            raise GraphRecError(f"{path} {name}", "what was saved", repr(content.get(name)), again)
    if unknown := content.keys() - shapes.keys() - {"format", "schema"}:
        raise GraphRecError(str(path), "what was saved", f"also {min(unknown)!r}", again)
    schema = Schema.checked(content.get("schema"), f"{path} schema")
    check_names(schema)
    forward = [r.name for r in schema.relations if not r.backward]
    if unknown := {*content["edge_offset"], *content["edge_tables"]} - set(forward):
        raise GraphRecError(str(path), "relations of the graph", repr(min(unknown)), again)
    return Header(
        schema=schema,
        fingerprint=content["fingerprint"],
        nodes=content["nodes"],
        edges=content["edges"],
        arrays=tuple(content["arrays"]),
        edge_tables=tuple(content["edge_tables"]),
        edge_offset=content["edge_offset"],
        edge_ids=content["edge_ids"],
        provenance=content["provenance"],
        checksums=content["checksums"],
        digest=digest,
    )


def _counts(value: object) -> bool:
    """Say whether a value maps names to counts."""
    return isinstance(value, dict) and all(
        isinstance(n, int) and not isinstance(n, bool) and 0 <= n < MOST for n in value.values()
    )


def _names(value: object) -> bool:
    """Say whether a value is a list of different names."""
    return (
        isinstance(value, list)
        and all(isinstance(name, str) for name in value)
        and len(set(value)) == len(value)
    )


def check_names(schema: Schema) -> None:
    """Raise for names that occur twice, that a file cannot have, or that the schema lacks."""
    errors = []
    for what, names in (("node type", schema.node_names), ("relation", schema.relation_names)):
        for name in dict.fromkeys(names):
            if names.count(name) > 1:
                errors.append(GraphRecError(what, "a name of its own", f"{name!r} twice"))
            if not name.strip(". ") or set(name) & set("/\\\0") or len(name.encode()) > 200:
                expected = "a name that a file can have"
                errors.append(GraphRecError(what, expected, repr(name), "one without slashes"))
    for relation in schema.relations:
        who, partner = f"relation {relation.name!r}", relation.inverse
        for end in (relation.source, relation.target):
            if end not in schema.node_names:
                errors.append(GraphRecError(who, "a node type", repr(end)))
        if (relation.backward or partner is not None) and partner not in schema.relation_names:
            errors.append(GraphRecError(who, "an inverse that is a relation", repr(partner)))
    raise_all(errors)


def check_unchanged(folder: Path, fingerprint: str) -> None:
    """Refuse a folder that was built anew since a graph was opened from it."""
    if (now := read_header(folder).fingerprint) != fingerprint:
        raise GraphRecError(
            str(folder),
            f"the graph {fingerprint[:12]} opened from it",
            now[:12],
            "opening it again",
        )


def check_file(folder: Path, name: str, header: Header) -> None:
    """Raise when a file of a graph is not the one that was saved."""
    if header.checksums and header.checksums.get(name) != checksum_of(folder / name):
        who = str(folder / name)
        raise GraphRecError(who, "the file that was saved", "another", "building it again")


def checksum_of(path: Path) -> str:
    """Return the checksum of a file; see :func:`graphrec_pt.graph.integrity.checksum`."""
    content = np.memmap(path, np.uint8, "r") if path.stat().st_size else np.zeros(0, np.uint8)
    return str(import_module("graphrec_pt.graph.integrity").checksum(content))

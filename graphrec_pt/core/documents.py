"""Safe reading of JSON and YAML: limits of size and depth, and one-line errors.

Every document of the library is read here: cards, recipes, and the JSON of graphs, models,
checkpoints and runs. Memory and time stay proportional to the size of the file: each use of a
YAML alias counts as many values as its anchor, nesting is limited, and duplicate keys are errors.
"""

import json
import math
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from stat import S_ISREG
from typing import Any, NoReturn

import yaml

from graphrec_pt.core.errors import GraphRecError

JSON_BYTES = 64 << 20
"""A JSON document at most, in bytes; the largest hold the categories of a model's columns."""
YAML_BYTES = 2 << 20
"""A YAML document at most, in bytes; parsing one takes some 20 s per MiB."""
DEPTH = 64
"""Levels of lists and mappings at most."""
YAML_VALUES = 200_000
"""Values of a YAML document at most, those that aliases repeat included."""

_Node = yaml.nodes.Node


def read_text(path: Path, limit: int) -> str:
    """Return the text of a regular file.

    Raises:
        OSError: As from opening it.
        GraphRecError: Unless it is a regular UTF-8 file of at most `limit` bytes.
    """
    with path.open("rb") if _regular(path) else _no_file(path) as file:
        content = file.read(limit + 1)
    if len(content) > limit:
        raise GraphRecError(str(path), f"a document of at most {limit >> 20} MiB", "a longer one")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        got = f"byte 0x{content[error.start]:02x} at {error.start}"
        raise GraphRecError(str(path), "UTF-8 text", got, "saving it as UTF-8") from error


def read_json(path: Path, hint: str = "", *, finite: bool = False) -> Any:
    """Return the value in a JSON file; see :func:`parse_json`.

    Raises:
        OSError: As from opening it.
        GraphRecError: For a file that is no JSON document within the limits.
    """
    return parse_json(read_text(path, JSON_BYTES), str(path), hint, finite=finite)


def read_json_object(path: Path, hint: str = "", *, finite: bool = False) -> dict[str, Any]:
    """Return the JSON object that a file holds.

    Raises:
        OSError: As from opening it.
        GraphRecError: For a file that is no JSON object within the limits.
    """
    value = read_json(path, hint, finite=finite)
    if not isinstance(value, dict):
        raise GraphRecError(str(path), "a JSON object", type(value).__name__, hint)
    return value


def parse_json(text: str, who: str, hint: str = "", *, finite: bool = False) -> Any:
    """Return the value of a JSON text.

    Args:
        text: At most :data:`JSON_BYTES` long.
        who: Names it in errors.
        hint: What to try when it is damaged.
        finite: Refuse NaN and infinite numbers, which JSON proper does not have.

    Raises:
        GraphRecError: For a mistake of syntax, a key that stands twice, deeper nesting than
            :data:`DEPTH`, numbers with thousands of digits, half a surrogate pair.
    """
    try:
        value = json.loads(text, object_pairs_hook=_object)
        _check(value, finite)
    except RecursionError as error:
        raise GraphRecError(who, f"at most {DEPTH} levels of nesting", "more", hint) from error
    except ValueError as error:
        raise GraphRecError(who, "JSON", error, hint) from error
    return value


def parse_yaml(text: str, who: str, hint: str = "checking the indentation there") -> Any:
    """Return the value of a YAML text, built of plain types alone.

    Args:
        text: At most :data:`YAML_BYTES` long.
        who: Names it in errors.
        hint: What to try when it is damaged.

    Raises:
        GraphRecError: For a mistake of syntax, a key that stands twice, deeper nesting than
            :data:`DEPTH`, and more values than :data:`YAML_VALUES`.
    """
    if len(text) > YAML_BYTES:
        raise GraphRecError(who, f"YAML of at most {YAML_BYTES >> 20} MiB", "a longer text")
    try:
        value = yaml.load(text, _Limited)
        _check(value, finite=False)
    except yaml.YAMLError as error:
        raise GraphRecError(who, "YAML", error, hint) from error
    except RecursionError as error:
        raise GraphRecError(who, f"at most {DEPTH} levels of nesting", "more", hint) from error
    except (ValueError, LookupError, AttributeError, TypeError, OverflowError) as error:
        # what the constructors of PyYAML raise for `!!bool maybe`, 2001-99-99 and the like
        raise GraphRecError(who, "YAML", f"a value that cannot be read ({error})", hint) from error
    return value


def parse_yaml_mapping(text: str, who: str) -> dict[str, Any]:
    """Return the mapping that a YAML text holds; `who` names it in errors.

    Raises:
        GraphRecError: As :func:`parse_yaml`, and for anything but a mapping.
    """
    content = parse_yaml(text, who)
    if not isinstance(content, dict):
        raise GraphRecError(who, "a mapping", type(content).__name__, "starting with `name:`")
    return content


def read_yaml_mapping(path: Path) -> dict[str, Any]:
    """Return the mapping that a YAML file holds.

    Raises:
        OSError: As from opening it.
        GraphRecError: As :func:`parse_yaml_mapping`.
    """
    return parse_yaml_mapping(read_text(path, YAML_BYTES), str(path))


def digest_of(record: Mapping[str, Any]) -> str:
    """Return the SHA-256 digest of a JSON record, which detects any damage."""
    return sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()


def _regular(path: Path) -> bool:
    return S_ISREG(path.stat().st_mode)  # opening a pipe would wait for ever


def _no_file(path: Path) -> NoReturn:
    raise GraphRecError(str(path), "a file", "a folder" if path.is_dir() else "something else")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the key {twice!r} twice")
    return result


def _check(value: Any, finite: bool) -> None:
    """Raise for a value that is nested too deeply or that cannot be saved as UTF-8."""
    level = [value]
    for _ in range(DEPTH + 1):
        deeper: list[Any] = []
        for item in level:
            if isinstance(item, dict):
                deeper += item
                deeper += item.values()
            elif isinstance(item, list):
                deeper += item
            elif isinstance(item, str):
                if not item.isascii():
                    item.encode()  # UnicodeEncodeError is a ValueError
            elif finite and isinstance(item, float) and not math.isfinite(item):
                raise ValueError(f"the number {item}")
        level = deeper
        if not level:
            return
    raise RecursionError


class _Limited(yaml.SafeLoader):
    """A safe loader that counts values as it composes them, before any is built."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._depth, self._values = 0, 0
        self._sizes: dict[int, int] = {}  # values of finished nodes, alias repeats included

    def compose_node(self, parent: _Node | None, index: Any) -> _Node | None:
        """Compose a node, within the limits."""
        before = self._values
        self._depth += 1
        if self._depth > DEPTH:
            raise RecursionError
        alias = self.check_event(yaml.AliasEvent)
        node: _Node | None = super().compose_node(parent, index)
        if not alias:
            self._values += 1
            self._sizes[id(node)] = self._values - before
        elif id(node) not in self._sizes:
            raise yaml.YAMLError("an alias inside what it names")
        else:
            self._values += self._sizes[id(node)]
        if self._values > YAML_VALUES:
            raise yaml.YAMLError(f"more than {YAML_VALUES:,} values, counting what aliases repeat")
        self._depth -= 1
        return node

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        """Compose a mapping; raise for duplicate keys."""
        node = super().compose_mapping_node(anchor)
        seen: set[tuple[str, str]] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode) or key.tag == "tag:yaml.org,2002:merge":
                continue
            if (name := (key.tag, key.value)) in seen:
                problem = f"the key {key.value!r} twice"
                raise yaml.MarkedYAMLError(None, None, problem, key.start_mark)
            seen.add(name)
        return node

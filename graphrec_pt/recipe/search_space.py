"""Ranges of options to search: ``optim.lr=1e-4..1e-2:log``, ``model.width=64,128``."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from graphrec_pt.core.documents import parse_yaml
from graphrec_pt.core.errors import GraphRecError, did_you_mean, raise_all

NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
BETWEEN = re.compile(rf"({NUMBER})\.\.({NUMBER})(:log)?")
SHORT = {"optim": "optimization", "optimization": "optimization"}


@dataclass(frozen=True)
class Range:
    """The values that an option may take.

    Args:
        path: Of the option in the recipe, such as ``stages.0.optimization.lr``.
        low: Lowest number; None for a choice.
        high: Highest number.
        whole: Whether numbers are whole.
        log: Whether numbers are drawn on a logarithmic scale.
        values: Of a choice.
    """

    path: str
    low: float | None = None
    high: float | None = None
    whole: bool = False
    log: bool = False
    values: tuple[Any, ...] = ()


def ranges_of(texts: Sequence[str], content: Mapping[str, Any]) -> tuple[Range, ...]:
    """Return the ranges that some texts describe, ``KEY=LOW..HIGH[:log]`` or ``KEY=A,B,…``.

    ``optim.X`` is the option of the last stage's optimization, and ``model.X`` may be one of the
    backbone; other keys are paths in the recipe.

    Args:
        texts: From the command line.
        content: The recipe with every default filled in, to find the options in.

    Raises:
        GraphRecError: For all texts that describe no range, at once.
    """
    found, errors = [], []
    for text in texts:
        try:
            found.append(_range(text, content))
        except GraphRecError as error:
            errors.append(error)
    raise_all(errors)
    if not found:
        raise GraphRecError("tune", "a range", "none", "optim.lr=1e-4..1e-2:log")
    for each in found:
        if sum(other.path == each.path for other in found) > 1:
            raise GraphRecError("tune", "one range for each option", f"two of {each.path!r}")
    return tuple(found)


def _range(text: str, content: Mapping[str, Any]) -> Range:
    key, equals, value = text.partition("=")
    if not equals or not value:
        raise GraphRecError("tune", "KEY=LOW..HIGH or KEY=A,B", repr(text), "optim.lr=1e-4..1e-2")
    path = full_path(key, content)
    matched = BETWEEN.fullmatch(value)
    if matched is None:
        values = parse_yaml(f"[{value}]", key, "values with commas between them")
        if len(values) < 2:
            hint = f"{key}={value},OTHER or {key}=LOW..HIGH"
            raise GraphRecError(f"tune {key}", "two values or more, or a range", repr(value), hint)
        return Range(path, values=tuple(values))
    low, high, log = float(matched[1]), float(matched[2]), matched[3] is not None
    if low >= high or (log and low <= 0):
        expected = "0 < LOW < HIGH on a logarithmic scale" if log else "LOW < HIGH"
        raise GraphRecError(f"tune {key}", expected, value)
    whole = all(re.fullmatch(r"[-+]?\d+", part) for part in (matched[1], matched[2]))
    return Range(path, low, high, whole, log)


def full_path(key: str, content: Mapping[str, Any]) -> str:
    """Return the path of an option in a recipe that its short name stands for.

    Raises:
        GraphRecError: When the recipe has no such option.
    """
    first, _, rest = key.partition(".")
    candidates = [key]
    if first in SHORT and rest:
        last = len(content["stages"]) - 1
        candidates.append(f"stages.{last}.{SHORT[first]}.{rest}")
    if first == "model" and rest:
        candidates.append(f"model.backbone.{rest}")
    for path in candidates:
        if _there(path, content):
            return path
    known = _near(candidates[-1], content)
    hint = did_you_mean(candidates[-1].rpartition(".")[2], known)
    raise GraphRecError("tune", "an option of the recipe", repr(key), hint)


def _there(path: str, content: Any) -> bool:
    for part in path.split("."):
        if isinstance(content, list) and part.isdigit() and int(part) < len(content):
            content = content[int(part)]
        elif isinstance(content, dict) and part in content:
            content = content[part]
        else:
            return False
    return True


def _near(path: str, content: Any) -> list[str]:
    """Return the options beside the one that is missing."""
    for part in path.split(".")[:-1]:
        if isinstance(content, list) and part.isdigit() and int(part) < len(content):
            content = content[int(part)]
        elif isinstance(content, dict) and part in content:
            content = content[part]
    return list(content) if isinstance(content, dict) else []

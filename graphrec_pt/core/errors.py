"""Errors in one grammar: who – expected – got – try."""

from collections.abc import Iterable, Sequence
from difflib import get_close_matches

from graphrec_pt.core.printable import printable

LONGEST = 1000
"""Characters of each part of a message at most: names and values may come from untrusted files."""


class GraphRecError(ValueError):
    """A mistake that the user can correct, as a one-line message.

    Args:
        who: The part that raises it, e.g. ``"walk"`` or ``"ratings.csv:17"``.
        expected: What it needed.
        got: What it was given; left out when empty.
        hint: What to try next; left out when empty.
    """

    def __init__(self, who: str, expected: str, got: object = "", hint: str = "") -> None:
        self.who, self.expected, self.got, self.hint = who, expected, str(got), hint
        line = f"{_cut(who)}: expected {_cut(expected)}"
        if self.got:
            line += f", got {_cut(self.got)}"
        if hint:
            line += f"; {_cut(hint)}" if hint.startswith("did you mean") else f"; try {_cut(hint)}"
        super().__init__(printable(" ".join(line.split())))

    def __reduce__(self) -> tuple[type["GraphRecError"], tuple[str, str, str, str]]:
        return (type(self), (self.who, self.expected, self.got, self.hint))


class ConfigErrors(GraphRecError):
    """Every mistake of a configuration at once, one line each."""

    def __init__(self, errors: Sequence[GraphRecError]) -> None:
        self.errors = tuple(errors)
        ValueError.__init__(self, "\n".join(str(error) for error in errors))

    def __reduce__(self) -> tuple[type["ConfigErrors"], tuple[tuple[GraphRecError, ...]]]:  # type: ignore[override]
        return (type(self), (self.errors,))


def raise_all(errors: Sequence[GraphRecError]) -> None:
    """Raise the collected errors together, equal ones once; return when there are none."""
    different = list({str(error): error for error in errors}.values())
    if len(different) == 1:
        raise different[0]
    if different:
        raise ConfigErrors(different)


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return a hint for a misspelt name: the close matches, else everything known."""
    names = sorted(known)
    close = get_close_matches(name, names, n=3, cutoff=0.6)
    if close:
        return "did you mean " + " or ".join(repr(match) for match in close) + "?"
    return "one of " + ", ".join(names) if names else ""


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST else text[:LONGEST] + "…"

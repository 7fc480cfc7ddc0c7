"""Docstrings in parts: a summary, a body, and one text per argument (Google's style)."""

import inspect
import re
from dataclasses import dataclass, field

SECTIONS = ("Args", "Returns", "Raises", "Yields", "Example", "Examples", "Shapes", "Note")
_SECTION = re.compile(rf"({'|'.join(SECTIONS)})::?$")
_ENTRY = re.compile(r"([*\w]+)(?: \([^)]*\))?: ?(.*)$")
_ROLE = re.compile(r":\w+:`~?([^`]+)`")
_NAME = r"[A-Z][\w’'-]+"
_PAPER = re.compile(
    rf"(?:{_NAME}(?:, {_NAME})? (?:&|and) {_NAME}|{_NAME} et al\.|{_NAME})"
    r"(?:,|(?<=al\.) \()[^()]*?(?:19|20)\d\d"
)
"""Authors, perhaps a title, a venue and a year: ``Koren, TKDD 2010``."""


@dataclass(frozen=True)
class Docstring:
    """A docstring in parts.

    Args:
        summary: Its first sentence.
        body: Everything before the first section, without the summary.
        args: Argument → its text, on one line.
        sections: Every other section by its title, as it is written.
    """

    summary: str = ""
    body: str = ""
    args: dict[str, str] = field(default_factory=dict)
    sections: dict[str, str] = field(default_factory=dict)

    @property
    def paper(self) -> str:
        """The papers that summary and body cite, as they cite them; empty without one."""
        text = " ".join(f"{self.summary} {self.body}".split())
        found = (each.strip() for each in _PAPER.findall(text))
        return "; ".join(
            f"{each})" if each.count("(") > each.count(")") else each for each in found
        )

    @property
    def paragraphs(self) -> list[str]:
        """The body's paragraphs, each on one line; lists and code keep their lines."""
        parts = re.split(r"\n\s*\n", self.body) if self.body else []
        return [
            part if re.search(r"^(\s|[-*|=])", part, re.MULTILINE) else " ".join(part.split())
            for part in parts
        ]


def parse_docstring(text: str | None) -> Docstring:
    r"""Return the parts of a docstring; names in ``:class:`…``` roles become plain names.

    Args:
        text: The docstring, None for none.

    Example:
        >>> parts = parse_docstring("Scale it.\n\nArgs:\n    by: The factor,\n        above 0.")
        >>> parts.summary, parts.args
        ('Scale it.', {'by': 'The factor, above 0.'})
    """
    before: list[str] = []
    sections: dict[str, list[str]] = {}
    place = before
    for line in inspect.cleandoc(text or "").splitlines():
        started = _SECTION.match(line)
        if started:
            place = sections.setdefault(started.group(1), [])
        else:
            if line and not line.startswith(" ") and place is not before:
                place = before  # plain text after a section
            place.append(line)
    summary, _, body = "\n".join(before).strip().partition("\n\n")
    plain = {title: inspect.cleandoc("\n" + "\n".join(lines)) for title, lines in sections.items()}
    args = _entries(_named(plain.pop("Args", "")))
    rest = {title: _named(content) for title, content in plain.items()}
    return Docstring(_named(" ".join(summary.split())), _named(body.strip()), args, rest)


def _named(text: str) -> str:
    return _ROLE.sub(lambda role: f"``{role.group(1).rpartition('.')[2]}``", text)


def _entries(text: str) -> dict[str, str]:
    entries: dict[str, str] = {}
    name = ""
    for line in text.splitlines():
        started = None if line.startswith(" ") else _ENTRY.match(line)
        if started:
            name = started.group(1).lstrip("*")
            entries[name] = started.group(2)
        elif name:
            entries[name] = f"{entries[name]} {line.strip()}".strip()
    return entries

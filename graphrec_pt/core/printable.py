"""Texts for people: untrusted ones that cannot control a terminal, and numbers with their nouns."""

import re

_UNSAFE = re.compile(
    "["
    "\x00-\x08\x0b-\x1f\x7f-\x9f"  # control characters other than tab and newline
    "\u2028-\u202e\u2066-\u2069"  # other line ends; marks that reorder what is shown
    "\ud800-\udfff\ufffe\uffff"  # no characters: they cannot be encoded or stand in XML
    "]"
)


def printable(text: str) -> str:
    r"""Return a text whose terminal control characters are written out, as in ``\x1b``.

    Tabs and newlines stay. The result can be encoded, and is valid XML once ``<>&"'`` are escaped.
    """
    return _UNSAFE.sub(_written_out, text)


def _written_out(found: re.Match[str]) -> str:
    code = ord(found[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def counted(number: int, noun: str) -> str:
    """Return a number with its noun: ``1 row``, ``2 rows``, ``2 histories``."""
    if number == 1:
        return f"1 {noun}"
    return f"{number:,} " + (f"{noun[:-1]}ies" if noun.endswith("y") else f"{noun}s")

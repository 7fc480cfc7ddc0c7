"""Names found in texts: whole words, whatever the case and the punctuation between them.

All names are searched at once by the automaton of Aho and Corasick ("Efficient string matching: an
aid to bibliographic search", CACM 1975), so that the cost grows with the text and not with the
number of names. The automaton is that of pyahocorasick (the extra ``text``).
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple, Protocol

from graphrec_pt.core.errors import GraphRecError


class Match(NamedTuple):
    """A name in a text.

    Args:
        start: First character of the name in the text.
        end: One past its last character.
        name: Places of the name in the list that was searched for; several where names are alike.
    """

    start: int
    end: int
    name: tuple[int, ...]


class _Automaton(Protocol):
    def iter(self, text: str) -> Iterable[tuple[int, tuple[int, tuple[int, ...]]]]: ...


class TitleFinder:
    """Finds the names of a list in texts.

    Upper and lower case are the same, and so are all runs of spaces and punctuation. A name is
    found only as whole words: *It* is no part of *with*. Of names that overlap, the one that
    begins first is taken, and of those the longest.

    Args:
        names: Names by their places; None and names without a letter or digit are never found.
        shortest: Letters and digits that a name must have to be found at all.

    Raises:
        GraphRecError: When pyahocorasick is not installed.

    Example:
        >>> TitleFinder(["Up", "The Lion King"]).find("I saw the lion  king.")
        [Match(start=6, end=20, name=(1,))]
    """

    def __init__(self, names: Iterable[str | None], shortest: int = 1) -> None:
        places: dict[str, list[int]] = {}
        for place, name in enumerate(names):
            plain = plain_words(name or "")
            if plain and len(plain) - plain.count(" ") >= shortest:
                places.setdefault(plain, []).append(place)
        self.names = {name: tuple(found) for name, found in places.items()}
        self._automaton = _automaton(self.names) if self.names else None

    def find(self, text: str) -> list[Match]:
        """Return the names in a text, in its order; they do not overlap."""
        if self._automaton is None:
            return []
        plain, place = _plain(text)
        found = []
        for last, (length, names) in self._automaton.iter(f" {plain} "):
            # `last` counts the space in front; the name itself ends one space earlier.
            end, start = last - 1, last - 1 - length
            found.append(Match(place[start], place[end - 1] + 1, names))
        found.sort(key=lambda match: (match.start, -match.end))
        chosen: list[Match] = []
        for match in found:
            if not chosen or match.start >= chosen[-1].end:
                chosen.append(match)
        return chosen


def plain_words(text: str) -> str:
    """Return a text in lower case, with one space for every run of other than letters and digits.

    Example:
        >>> plain_words("Amélie -- (2001)")
        'amélie 2001'
    """
    return _plain(text)[0]


def _plain(text: str) -> tuple[str, Sequence[int]]:
    """Return the plain words, and for each of their characters its place in the text."""
    letters: list[str] = []
    places: list[int] = []
    for place, letter in enumerate(text):
        if letter.isalnum():
            lower = letter.lower()
            letters.append(lower if len(lower) == 1 else letter)
        elif letters and letters[-1] != " " and letter != "'":
            letters.append(" ")
        else:
            continue
        places.append(place)
    if letters and letters[-1] == " ":
        letters.pop()
        places.pop()
    return "".join(letters), places


def _automaton(names: dict[str, tuple[int, ...]]) -> _Automaton:
    try:
        from ahocorasick import Automaton
    except ImportError:
        hint = "pip install 'graphrec-pt[text]'"
        raise GraphRecError("titles in texts", "pyahocorasick", "it is missing", hint) from None
    made = Automaton()
    for name, places in names.items():
        made.add_word(f" {name} ", (len(name), places))
    made.make_automaton()
    automaton: _Automaton = made
    return automaton

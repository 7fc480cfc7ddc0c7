"""The response of a system to each turn, and the items that stand in it."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from torch import Tensor

from graphrec_pt.graph.graph import Graph

_WORD = re.compile(r"\w+(?:['’]\w+)*|[^\w\s]")
_ENDS = frozenset(".!?\n")


class Responses(NamedTuple):
    """One response for each of some turns.

    Args:
        texts: The responses ``[B]``.
        items: The different items in each, as global ids ``[B]``.
    """

    texts: Sequence[str]
    items: Sequence[frozenset[int]]


Writer = Callable[[Tensor], Responses]
"""From turns int64 ``[B]``, global ids, to their responses."""


class Titles:
    """Finds the nodes of a type whose title stands in a text.

    Longer titles win. A title of one word counts in its own spelling alone and not at the start of
    a sentence, where any word has a capital letter: "It is a film" does not name the film *It*.

    Args:
        graph: The graph.
        node_type: Type of the nodes.
    """

    def __init__(self, graph: Graph, node_type: str) -> None:
        self._node: dict[tuple[str, ...], list[int]] = {}
        self._spelling: dict[tuple[str, ...], set[str]] = {}
        for node in graph.nodes(node_type):
            title = graph.title(node)
            words = tuple(word.lower() for word in _WORD.findall(title))
            if any(any(letter.isalnum() for letter in word) for word in words):
                self._node.setdefault(words, []).append(node)
                self._spelling.setdefault(words, set()).add(title.strip())
        self._longest = max(map(len, self._node), default=0)

    def spans(self, text: str) -> list[tuple[int, int, int]]:
        """Return (first, last, node) of each title in a text, in characters, in order.

        Nodes that share a title are represented by the one with the lowest id.
        """
        places = list(_WORD.finditer(text))
        words = [place.group().lower() for place in places]
        spans, at = [], 0
        while at < len(words):
            for length in range(min(self._longest, len(words) - at), 0, -1):
                title = tuple(words[at : at + length])
                if title not in self._node:
                    continue
                first, last = places[at].start(), places[at + length - 1].end()
                if length == 1 and not self._is_name(text, first, last, title):
                    continue
                spans.append((first, last, self._node[title][0]))
                at += length
                break
            else:
                at += 1
        return spans

    def nodes(self, text: str) -> frozenset[int]:
        """Return the nodes whose titles stand in a text, all of those that share one."""
        spans = self.spans(text)
        named = (tuple(w.lower() for w in _WORD.findall(text[a:b])) for a, b, _ in spans)
        return frozenset(node for title in named for node in self._node[title])

    def _is_name(self, text: str, first: int, last: int, title: tuple[str, ...]) -> bool:
        """Return whether a single word is spelled as the title, inside a sentence."""
        before = text[:first].rstrip(" \"'“‘")
        starts = not before or before[-1] in _ENDS
        return not starts and text[first:last] in self._spelling[title]


def filled(template: str, best: Sequence[int], graph: Graph) -> Responses:
    """Return a template with the best item of each turn in the place of ``{item}``.

    It is the response of a system that ranks and writes nothing.

    Args:
        template: Text with ``{item}``.
        best: Global ids ``[B]``, −1 where no candidate is left.
        graph: Has the titles.
    """
    texts = [
        template.replace("{item}", graph.title(item)) if item >= 0 else template for item in best
    ]
    return Responses(texts, [frozenset({item} if item >= 0 else ()) for item in best])


def reference_texts(graph: Graph, turns: Tensor, column: str) -> list[str | None]:
    """Return a text column of some turns.

    Args:
        graph: The whole graph.
        turns: int64 ``[B]`` global ids of one type.
        column: Name of the column.
    """
    if not len(turns):
        return []
    kind = graph.type_of(int(turns[0]))
    rows = (turns - graph.nodes(kind).start).numpy()
    texts: Mapping[str, list[str | None]] = (
        graph.tables[kind].select(column)[rows].to_dict(as_series=False)
    )
    return texts[column]

"""Paths of the graph as sentences whose names and relations are copied from the path."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from graphrec_pt.data.spoken import spoken_title
from graphrec_pt.graph.graph import Graph
from graphrec_pt.graph.schema import Relation

SOMEBODY, SAME = "somebody else", "the same person"
"""How a sentence names other sources, whose names it does not tell, at first and again."""
KNOWS = "know"
"""Words of an interaction that has no phrase: "you know A"."""


class Slot(NamedTuple):
    """A name in a sentence that was copied from a path.

    Args:
        start: First character.
        end: One past the last character.
        node: Global id of the node.
    """

    start: int
    end: int
    node: int


class Sentence(NamedTuple):
    """A path in words.

    Args:
        text: The sentence.
        slots: The copied names in their order.
    """

    text: str
    slots: tuple[Slot, ...]


@dataclass(frozen=True, eq=False)
class PathWords:
    """Puts paths from a source into words, one clause per edge.

    A clause is "HEAD phrase TAIL", so each states one edge of the path and nothing else. An edge
    that the path follows backwards is stated forwards: "B is directed by Z, too". If the path is
    valid in the history graph, so is the sentence.

    Args:
        graph: The graph of the paths.
        phrases: Relation → its words, of which the first is used; others are made of its name.

    Example:
        >>> words = PathWords(graph, {"rates": ["watched"], "made_by": ["was made by"]})
        >>> words.sentence([ann, kite, zoe, glider], ["rates", "made_by", "maker_of"]).text
        'You watched Red kite, which was made by Zoe; Paper glider was made by Zoe, too.'
    """

    graph: Graph
    phrases: Mapping[str, Sequence[str]]

    def sentence(self, nodes: Sequence[int], relations: Sequence[str]) -> Sentence:
        """Return a path in words.

        Args:
            nodes: Global ids; the first one is the source, who is called "you".
            relations: Names of the relations between them.
        """
        written = _Text()
        source, kind = nodes[0], self.graph.type_of(nodes[0])
        other = source

        def name(node: int) -> None:
            nonlocal other
            if node == source:
                written.add("you")
            elif self.graph.type_of(node) == kind:
                written.add(SAME if node == other else SOMEBODY)
                other = node
            else:
                written.add(spoken_title(self.graph.title(node)), node)

        stated = set[str]()
        for hop, relation in enumerate(relations):
            definition = self.graph.schema.relation(relation)
            head, tail = nodes[hop], nodes[hop + 1]
            if backward := definition.backward and definition.inverse is not None:
                assert definition.inverse is not None
                definition = self.graph.schema.relation(definition.inverse)
                head, tail = tail, head
            again = definition.name in stated and backward
            stated.add(definition.name)
            if hop and not backward and self.graph.type_of(head) != kind:
                written.add(", which ")
            else:
                written.add("; " if hop else "")
                name(head)
                written.add(" ")
            written.add(f"{self.phrase(definition)} ")
            name(tail)
            written.add(", too" if again else "")
        return written.sentence()

    def phrase(self, relation: Relation) -> str:
        """Return the words of a relation in the direction that the data has."""
        chosen = self.phrases.get(relation.name)
        if chosen:
            return chosen[0]
        return KNOWS if relation.interaction else relation.name.replace("_", " ")


class _Text:
    """A sentence that grows."""

    def __init__(self) -> None:
        self.text = ""
        self.slots: list[Slot] = []

    def add(self, words: str, node: int | None = None) -> None:
        start = len(self.text)
        if not start:
            words = words[:1].upper() + words[1:]
        self.text += words
        if node is not None:
            self.slots.append(Slot(start, len(self.text), node))

    def sentence(self) -> Sentence:
        return Sentence(f"{self.text}.", tuple(self.slots))

"""Paths of the graph as sentences whose names and relations are copied from the path."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from graphrec_pt.data.spoken import spoken_title
from graphrec_pt.graph.graph import Graph
from graphrec_pt.graph.schema import Relation

SOMEBODY, SAME = "somebody else", "the same person"
"""How a sentence names other sources, whose names it does not tell, at first and again."""
NOBODY = -1
"""Stands for a source that is no node."""
MET = "came across"
"""Words of an interaction that has no phrase: "you came across A"."""


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
        phrases: Relation → its words, of which the first is used. Without any, the words are made
            of the relation's name: "has genre", "is directed by".

    Example:
        >>> words = PathWords(graph, {"rates": ["watched"], "made_by": ["was made by"]})
        >>> words.sentence([ann, kite, zoe, glider], ["rates", "made_by", "maker_of"]).text
        'You watched Red kite, which was made by Zoe; Paper glider was made by Zoe, too.'
    """

    graph: Graph
    phrases: Mapping[str, Sequence[str]]

    def sentence(
        self, nodes: Sequence[int], relations: Sequence[str], after: str | None = None
    ) -> Sentence:
        """Return a path in words.

        Args:
            nodes: Global ids; the first one is the source, who is called "you".
            relations: Names of the relations between them.
            after: For a source that is no node, such as a new user: its relation to the first node.
        """
        if after is not None:
            nodes, relations = (NOBODY, *nodes), (after, *relations)
        written, source = _Text(), nodes[0]
        kind = self.graph.schema.relation(relations[0]).source if relations else ""
        other = source

        def of_kind(node: int) -> bool:
            return node == NOBODY or self.graph.type_of(node) == kind

        def name(node: int) -> None:
            nonlocal other
            if node == source:
                written.add("you")
            elif of_kind(node):
                written.add(SAME if node == other else SOMEBODY)
                other = node
            else:
                written.add(spoken_title(self.graph.title(node)), node)

        stated = set[str]()
        for hop, relation in enumerate(relations):
            definition = self.graph.schema.relation(relation)
            head, tail = nodes[hop], nodes[hop + 1]
            if definition.backward and definition.inverse is not None:
                definition = self.graph.schema.relation(definition.inverse)
                head, tail = tail, head
            goes_on = bool(written.slots) and written.slots[-1].node == head
            if goes_on:
                written.add(", which ")
            else:
                written.add("; " if hop else "")
                name(head)
                written.add(" ")
            written.add(f"{self.phrase(definition)} ")
            name(tail)
            if definition.name in stated and not goes_on:
                written.add(", too")
            stated.add(definition.name)
        return written.sentence()

    def phrase(self, relation: Relation) -> str:
        """Return the words of a relation in the direction that the data has."""
        chosen = self.phrases.get(relation.name)
        if chosen:
            return chosen[0]
        if relation.interaction:
            return MET
        words = relation.name.replace("_", " ")
        return words if words.split()[0].endswith("s") else f"is {words}"


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

"""Facts that a text states, and whether the history graph has them.

An explanation of item *i* for user *u* names things: other films, a director, a part of a guitar.
It is grounded if the graph that the system may see has an edge for each of them. Every system is
read by the same rules, so the share of grounded facts compares systems.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple, Self

import numpy as np

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.data.spoken import spoken_title
from graphrec_pt.data.titles import Match, TitleFinder, plain_words
from graphrec_pt.evaluation.ranks import Ints
from graphrec_pt.graph.graph import RAW_ID, Graph
from graphrec_pt.graph.schema import Relation
from graphrec_pt.predict.path_words import SAME, SOMEBODY

SHORTEST = 3
"""Letters and digits of a name that is looked for; shorter ones are words of the language, too."""
END_OF_SENTENCE = re.compile(r"[.!?](?:\s|$)")


class Fact(NamedTuple):
    """A statement of a text about the graph.

    Args:
        start: First character of the name in the text.
        end: One past its last character.
        nodes: Global ids of the nodes that have this name.
        relation: The relation that the text states between the node and what stands before it;
            None where the text just names the node.
        true: Whether the history graph has the edge.
    """

    start: int
    end: int
    nodes: tuple[int, ...]
    relation: str | None
    true: bool


@dataclass(frozen=True, eq=False)
class Facts:
    """Finds facts in texts and looks them up in a graph.

    A text about the pair (u, i) *names* a node where it has its title as whole words, in upper or
    lower case. The name of i itself states nothing. A named node is grounded if edges of the graph,
    in either direction, join it to u or i, directly or over other nodes that the text names: in
    "you watched A by Z, who also made B" the director Z is joined to u by way of A.

    With `phrases` a text also states relations. The words of a relation S → T state it between the
    nearest name of type S before them and the nearest name of type T after them, within a sentence;
    with no name before, S is u or i if the type fits, u first. Such a fact is true if this edge is
    in the graph. "Somebody else" before the words is some source other than u, and "the same
    person" the one before. Other words, such as "not", are not understood.

    Args:
        graph: The history graph.
        relation: The predicted relation.
        finder: Finds the names.
        nodes: For each place of the finder's list, the global id of the node.
        phrases: Relation → its words, plain.
    """

    graph: Graph
    relation: Relation
    finder: TitleFinder
    nodes: Sequence[int]
    phrases: Mapping[str, tuple[str, ...]]
    _near: dict[tuple[int, str | None], frozenset[int]] = field(default_factory=dict, repr=False)
    _reached: dict[str, tuple[Ints, Ints]] = field(default_factory=dict, repr=False)

    @classmethod
    def of(
        cls,
        graph: Graph,
        relation: str,
        entities: Sequence[str] | None = None,
        phrases: Mapping[str, Sequence[str]] | None = None,
    ) -> Self:
        """Return the facts that texts about edges of a relation can state.

        Args:
            graph: The history graph.
            relation: The predicted relation.
            entities: Node types whose names are looked for; by default all types except that of
                the sources and those whose nodes are interactions.
            phrases: Relation → words that state it, such as ``{"directed_by": ["directed by"]}``.

        Raises:
            GraphRecError: For types and relations that the graph does not have.
        """
        predicted = graph.schema.relation(relation)
        if entities is None:
            events = {each.event for each in graph.schema.relations}
            left_out = {predicted.source, *events} - {predicted.target}
            entities = [name for name in graph.schema.node_names if name not in left_out]
        names, nodes = list[str | None](), list[int]()
        for kind in entities:
            title = graph.schema.node(kind).title or RAW_ID
            for node, name in zip(
                graph.nodes(kind), graph.tables[kind][title].to_list(), strict=True
            ):
                variants = {str(name), spoken_title(str(name))} if name is not None else {}
                names += sorted(variants)
                nodes += [node] * len(variants)
        words = {
            graph.schema.relation(name).name: tuple(plain_words(each) for each in some)
            for name, some in (phrases or {}).items()
        }
        for name, some in words.items():
            if not some or not all(some):
                raise GraphRecError("phrases", f"words that state {name!r}", some)
        return cls(graph, predicted, TitleFinder(names, SHORTEST), nodes, words)

    @property
    def vocabulary(self) -> int:
        """How many nodes may be named."""
        return len(set(self.nodes))

    def named(self, text: str) -> list[Match]:
        """Return the names in a text; the places of a match are global ids here."""
        return [
            Match(start, end, tuple(self.nodes[place] for place in places))
            for start, end, places in self.finder.find(text)
        ]

    def stated(self, text: str, source: int, target: int) -> list[Fact]:
        """Return the facts that a text about a pair states, in their order.

        Args:
            text: What was written.
            source: Global id of u.
            target: Global id of i.
        """
        names = self.named(text)
        others = [match for match in names if target not in match.name]
        joined = self._joined([match.name for match in others], source, target)
        facts = [
            Fact(match.start, match.end, match.name, None, true)
            for match, true in zip(others, joined, strict=True)
        ]
        facts += self._relations(text, names, source, target)
        return sorted(facts, key=lambda fact: (fact.start, fact.end, fact.relation or ""))

    def near(self, node: int, relation: str | None = None) -> frozenset[int]:
        """Return the nodes that edges of one relation, or of all, lead to."""
        known = self._near.get((node, relation))
        if known is None:
            known = frozenset(self.graph.neighbors(node, relation).tolist())
            self._near[node, relation] = known
        return known

    def _joined(self, names: Sequence[tuple[int, ...]], source: int, target: int) -> list[bool]:
        """Return which names have a node that edges join to the pair or to joined names."""
        reached, true = {source, target}, [False] * len(names)
        grew = True
        while grew:
            grew = False
            for place, nodes in enumerate(names):
                if true[place]:
                    continue
                found = [node for node in nodes if self._meets(node, reached)]
                if found:
                    reached.update(found)
                    true[place] = grew = True
        return true

    def _meets(self, node: int, reached: set[int]) -> bool:
        if not self.near(node).isdisjoint(reached):
            return True
        return any(node in self.near(other) for other in reached)

    def _relations(
        self, text: str, names: Sequence[Match], source: int, target: int
    ) -> Iterable[Fact]:
        """Yield the facts that phrases state."""
        ends = [match.start() for match in END_OF_SENTENCE.finditer(text)] + [len(text)]
        somebody: frozenset[int] = frozenset()
        for relation, start, end in self._phrases(text, names):
            definition = self.graph.schema.relation(relation)
            stop = next(at for at in ends if at >= start)
            begin = max((at for at in ends if at < start), default=-1)
            after = [match for match in reversed(names) if end <= match.start < stop]
            before = [match for match in names if begin < match.start and match.end <= start]
            tail = _last_of(self.graph, definition.target, after)
            if tail is None:
                continue
            subject = text[begin + 1 : start].rstrip().lower()
            if subject.endswith((SOMEBODY, SAME)):
                found = self._sources(relation, tail.name) - {source}
                somebody = found & somebody if subject.endswith(SAME) else found
                yield Fact(tail.start, tail.end, tail.name, relation, bool(somebody))
                continue
            head = _last_of(self.graph, definition.source, before)
            heads = head.name if head else self._ends(definition.source, source, target)
            if heads:
                true = any(not self.near(node, relation).isdisjoint(tail.name) for node in heads)
                yield Fact(tail.start, tail.end, tail.name, relation, true)

    def _ends(self, kind: str, source: int, target: int) -> tuple[int, ...]:
        """Return u, or else i, if it has the type that a relation leaves."""
        return tuple(n for n in (source, target) if self.graph.type_of(n) == kind)[:1]

    def _sources(self, relation: str, targets: Sequence[int]) -> frozenset[int]:
        """Return the nodes that an edge leads from to one of some nodes."""
        if relation not in self._reached:
            edges = self.graph.edges(relation)
            self._reached[relation] = edges.source.numpy(), edges.target.numpy()
        source, target = self._reached[relation]
        return frozenset(source[np.isin(target, targets)].tolist())

    def _phrases(self, text: str, names: Sequence[Match]) -> Iterable[tuple[str, int, int]]:
        """Yield (relation, start, end) of the phrases outside of names."""
        for start, end, places in self._finder_of_phrases.find(text):
            if any(start < match.end and match.start < end for match in names):
                continue
            for relation in {self._order[place] for place in places}:
                yield relation, start, end

    @cached_property
    def _order(self) -> list[str]:
        return [relation for relation, some in self.phrases.items() for _ in some]

    @cached_property
    def _finder_of_phrases(self) -> TitleFinder:
        return TitleFinder([words for some in self.phrases.values() for words in some])


def _last_of(graph: Graph, kind: str, names: Iterable[Match]) -> Match | None:
    """Return the last of some names that has nodes of a type, with these nodes alone."""
    owned, last = graph.nodes(kind), None
    for match in names:
        nodes = tuple(node for node in match.name if node in owned)
        if nodes:
            last = match._replace(name=nodes)
    return last

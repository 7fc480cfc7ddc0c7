"""The response of a system to each turn, and the items that stand in it."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from torch import Tensor

from graphrec_pt.data.titles import Match, TitleFinder
from graphrec_pt.graph.graph import Graph
from graphrec_pt.objectives.text_readout import TextReadout
from graphrec_pt.predict.predictor import Predictor
from graphrec_pt.predict.taught import Taught
from graphrec_pt.predict.writer import written

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

    A title of one word counts in its own spelling alone and not at the start of a sentence, where
    any word has a capital letter: "It is a film" does not name the film *It*.

    Args:
        graph: The graph.
        node_type: Type of the nodes.
    """

    def __init__(self, graph: Graph, node_type: str) -> None:
        self._start = graph.nodes(node_type).start
        self._titles = [graph.title(node) for node in graph.nodes(node_type)]
        self._finder = TitleFinder(self._titles)

    def spans(self, text: str) -> list[Match]:
        """Return where titles stand in a text, in order; their names are places in the type."""
        return [match for match in self._finder.find(text) if self._is_name(text, match)]

    def nodes(self, text: str) -> frozenset[int]:
        """Return the global ids of the nodes whose titles stand in a text."""
        return frozenset(self._start + name for match in self.spans(text) for name in match.name)

    def _is_name(self, text: str, match: Match) -> bool:
        """Return whether a match is more than a common word."""
        titles = [self._titles[name].strip() for name in match.name]
        if any(" " in title for title in titles):
            return True
        before = text[: match.start].rstrip(" \"'“‘(")
        return bool(before) and before[-1] not in _ENDS and text[match.start : match.end] in titles


def filled(
    responses: Responses, blank: str, lists: Sequence[Sequence[int]], graph: Graph
) -> Responses:
    """Return responses with the best items of their turns in the places of blanks, in order.

    UniCRS (Wang et al., KDD 2022) writes templates and fills them so. A blank for which the list
    has no item stays as it is.

    Args:
        responses: Texts that may have blanks ``[B]``.
        blank: Text of a blank, such as ``<item>``.
        lists: Global ids ``[B, k]``, best first, −1 where no candidate is left.
        graph: Has the titles.
    """
    texts, items = [], []
    for text, named, best in zip(responses.texts, responses.items, lists, strict=True):
        before, *parts = text.split(blank)
        fill = [item for item in best if item >= 0][: len(parts)]
        titles = [graph.title(item) for item in fill] + [blank] * (len(parts) - len(fill))
        texts.append(before + "".join(map("".join, zip(titles, parts, strict=True))))
        items.append(named | frozenset(fill))
    return Responses(texts, items)


def templates(template: str, turns: int) -> Responses:
    """Return the same response for some turns: that of a system that ranks and writes nothing."""
    return Responses([template] * turns, [frozenset()] * turns)


def writes(taught: Taught) -> bool:
    """Return whether the objectives of a stage teach a model to write."""
    readouts = (each.readout() for each in taught.objectives.values())
    return any(isinstance(readout, TextReadout) for readout in readouts)


def model_writer(predictor: Predictor) -> Writer:
    """Return the writer of a model: the items in a response are its node tokens and its titles.

    Args:
        predictor: Of a model that was taught to write.
    """
    graph, kind = predictor.graph, predictor.reading.relation.target
    among, titles = graph.nodes(kind), Titles(graph, kind)

    def respond(turns: Tensor) -> Responses:
        made = written(predictor, turns)
        texts = made.texts(predictor.model, graph)
        for node, row in zip(*(part.tolist() for part in made.nodes()), strict=True):
            title = graph.title(node)  # a node may stand before its own title
            texts[row] = texts[row].replace(f"{title} {title}", title)
        items = [set(titles.nodes(text)) for text in texts]
        for node, row in zip(*(part.tolist() for part in made.nodes()), strict=True):
            if node in among:
                items[row].add(node)
        return Responses(texts, [frozenset(each) for each in items])

    return respond


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

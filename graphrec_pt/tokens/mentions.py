"""Texts as pieces: the tokens of words, and nodes where the text names them."""

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Literal, NamedTuple

import polars as pl
import torch
from pydantic import ConfigDict
from pydantic.dataclasses import dataclass as validated
from torch import Tensor

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.core.memo import Memo
from graphrec_pt.data.titles import TitleFinder
from graphrec_pt.graph.graph import RAW_ID, Graph
from graphrec_pt.tokens.kind import Kind
from graphrec_pt.tokens.words import Words, texts_of

Found = tuple[int, int, int | None]
"""Start and end of a marker in a text, and the place of the node among those of its type."""
Search = Callable[[str], Iterator[Found]]
_FIELD = re.compile(r"\{([^{}]*)\}")


@validated(frozen=True, config=ConfigDict(extra="forbid"))
class Mentions:
    """How the texts of a node type name other nodes.

    Args:
        relation: From a node with a text to the nodes that the text names.
        marker: How a node is written: ``@{id}`` is an @ and the raw id (ReDial), ``[{title}]``
            a value of the column `title` in brackets, and ``{title}`` alone that value as it
            stands in the text, see :class:`~graphrec_pt.data.titles.TitleFinder`. A marker with a
            sign gives way to the node; a bare value stays, and the node stands before it.
        unknown: Refuse a marker that names no node, or leave it in the text.
        shortest: Letters of a title that is searched for without brackets.
        blank: Text that takes the place of each named node, such as ``<item>``; without it, the
            node itself does.

    Raises:
        GraphRecError: For a marker without exactly one field, for a raw id without a sign, and for
            an empty blank.
    """

    relation: str
    marker: str = "@{id}"
    unknown: Literal["error", "text"] = "error"
    shortest: int = 4
    blank: str | None = None

    def __post_init__(self) -> None:
        if self.blank is not None and not self.blank.strip():
            raise GraphRecError("mentions.blank", "a text such as '<item>'", repr(self.blank))
        fields = _FIELD.findall(self.marker)
        if len(fields) != 1 or self.marker == f"{{{RAW_ID}}}":
            expected = "a sign around one field, like @{id}, or a column, like {title}"
            raise GraphRecError("mentions.marker", expected, repr(self.marker))

    @property
    def column(self) -> str:
        """The column that the marker holds, ``id`` for the raw id."""
        return str(_FIELD.findall(self.marker)[0])

    @property
    def bare(self) -> bool:
        """Whether the marker is nothing but the value, a part of the sentence."""
        return self.marker == f"{{{self.column}}}"

    def check(self, graph: Graph, node_type: str) -> None:
        """Raise unless a graph has the relation and the column.

        Raises:
            GraphRecError: For a relation that does not leave the type, and an unknown column.
        """
        leaving = [relation.name for relation in graph.schema.leaving(node_type)]
        if self.relation not in leaving:
            expected = f"a relation that leaves {node_type!r}"
            hint = "one of " + ", ".join(leaving) if leaving else ""
            raise GraphRecError("mentions", expected, repr(self.relation), hint)
        target = graph.schema.relation(self.relation).target
        if self.column not in graph.tables[target].columns:
            expected = f"a column of {target!r} in the marker"
            hint = "one of " + ", ".join(f"{{{name}}}" for name in graph.tables[target].columns)
            raise GraphRecError("mentions", expected, repr(self.marker), hint)


class Pieces(NamedTuple):
    """The tokens of n texts, end to end.

    Args:
        ptr: int64 ``[n+1]``, where each text starts.
        id: int64 ``[M]``, ids of words, and global ids of nodes.
        kind: int64 ``[M]`` of TEXT and NODE.
    """

    ptr: Tensor
    id: Tensor
    kind: Tensor


_pieces: Memo[Pieces] = Memo()  # of a node table


def pieces_of(
    graph: Graph, node_type: str, column: str, words: Words, mentions: Mentions | None = None
) -> Pieces:
    """Return the tokens of a text column of every node of a type.

    A node stands where the text names it; the spaces before it go with the words after it. Made
    on first use and kept as long as the graph's node table.

    Args:
        graph: The graph.
        node_type: Type of the nodes with the texts.
        column: Column of the texts.
        words: The tokenizer.
        mentions: How texts name nodes; without it, all tokens are words.

    Raises:
        GraphRecError: For a marker that names no node, unless unknown ones stay in the text; names
            the node and the marker.
    """
    table = graph.tables[node_type]
    if mentions is None:
        ptr, ids = texts_of(graph, node_type, column, words)

        def plain() -> Pieces:
            return Pieces(ptr, ids.long(), torch.full_like(ids, Kind.TEXT, dtype=torch.int64))

        return _pieces(table, (column, id(words.tokenizer)), plain, given=(words.tokenizer,))
    mentions.check(graph, node_type)
    target = graph.schema.relation(mentions.relation).target
    first, named = graph.nodes(target).start, graph.tables[target]
    key = column, id(words.tokenizer), mentions, first

    def made() -> Pieces:
        return _named(graph, node_type, column, words, mentions)

    return _pieces(table, key, made, given=(words.tokenizer, named))


def with_titles(
    graph: Graph, node_type: str, texts: Iterable[str], mentions: Mentions
) -> Iterator[str]:
    """Yield texts with the titles of the nodes that they name, in place of markers with a sign."""
    if mentions.bare:
        yield from texts
        return
    mentions.check(graph, node_type)
    target = graph.schema.relation(mentions.relation).target
    first = graph.nodes(target).start
    search = _markers(graph.tables[target][mentions.column], mentions)
    for text in texts:
        parts, at = [], 0
        for start, end, place in search(text):
            named = text[start:end] if place is None else graph.title(first + place)
            parts += [text[at:start], named]
            at = end
        yield "".join([*parts, text[at:]])


def _named(graph: Graph, node_type: str, column: str, words: Words, mentions: Mentions) -> Pieces:
    """Return the tokens of a column with nodes where its texts name them."""
    target = graph.schema.relation(mentions.relation).target
    first, values = graph.nodes(target).start, graph.tables[target][mentions.column]
    search = _titles(values, mentions) if mentions.bare else _markers(values, mentions)
    table = graph.tables[node_type]
    ids: list[int] = []
    kinds: list[int] = []
    ends = [0]
    for number, text in enumerate(table[column].cast(pl.String).fill_null("")):
        at, blanked = 0, list[str]()
        for start, end, place in search(text):
            if place is None:
                who = f"mentions of {node_type}.{column}"
                got = f"{text[start:end]!r} in {table[RAW_ID][number]!r}"
                hint = "mentions: {unknown: text} to leave it in the text"
                raise GraphRecError(who, f"a marker of a known {target}", got, hint)
            if mentions.blank is not None:
                blanked += [text[at:start], mentions.blank]
                at = end
                continue
            before = text[at:start].rstrip()
            tokens = words.encode(before) if before else []
            ids += [*tokens, first + place]
            kinds += [*[int(Kind.TEXT)] * len(tokens), int(Kind.NODE)]
            at = at + len(before) if mentions.bare else end
        rest = "".join([*blanked, text[at:]])
        tokens = words.encode(rest) if rest.strip() else []
        ids += tokens
        kinds += [int(Kind.TEXT)] * len(tokens)
        ends.append(len(ids))
    # Texts stay on the CPU, whatever device a loader makes its tensors on.
    whole = [torch.tensor(each, dtype=torch.int64, device="cpu") for each in (ends, ids, kinds)]
    return Pieces(whole[0], whole[1], whole[2])


def _markers(values: pl.Series, mentions: Mentions) -> Search:
    """Return the search for markers with a sign, whose field holds a value of the column."""
    places: dict[str, int] = {}
    for place, value in enumerate(values.cast(pl.String)):
        places.setdefault(value, place)
    before, after = mentions.marker.split(f"{{{mentions.column}}}")
    inner = r"(.+?)"
    if mentions.column == RAW_ID:  # what no id could be, such as @home among numbers, is a word
        inner = r"(\d+)" if all(map(str.isdecimal, places)) else r"(\w+)"
    pattern = re.compile(re.escape(before) + inner + re.escape(after))

    def search(text: str) -> Iterator[Found]:
        for match in pattern.finditer(text):
            place = places.get(match[1])
            if place is not None or mentions.unknown == "error":
                yield match.start(), match.end(), place

    return search


def _titles(values: pl.Series, mentions: Mentions) -> Search:
    """Return the search for bare values of the column; the first of several alike is taken."""
    finder = TitleFinder(values.cast(pl.String), mentions.shortest)

    def search(text: str) -> Iterator[Found]:
        for match in finder.find(text):
            yield match.start, match.end, match.name[0]

    return search

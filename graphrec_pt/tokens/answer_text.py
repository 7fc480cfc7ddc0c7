"""The answers of text generation: which text a model is to write for each root."""

from collections.abc import Iterator
from typing import Literal, NamedTuple

import polars as pl
import torch
from pydantic import Field
from torch import Tensor

from graphrec_pt.core.errors import GraphRecError, did_you_mean
from graphrec_pt.core.memo import Memo
from graphrec_pt.graph.graph import Graph
from graphrec_pt.graph.schema import Strict
from graphrec_pt.graph.spec import GraphSpec
from graphrec_pt.kernels.torch.segments import ranges
from graphrec_pt.tokens.kind import Kind
from graphrec_pt.tokens.mentions import Mentions, pieces_of, with_titles
from graphrec_pt.tokens.words import Words, packed_texts

_targets: Memo[Tensor] = Memo()  # of a graph


class Answers(NamedTuple):
    """The answers of n rows, end to end.

    Args:
        ptr: int64 ``[n+1]``, where each answer starts.
        id: int64 ``[M]``, text ids, and global ids of nodes.
        kind: int64 ``[M]``, TEXT or NODE.
    """

    ptr: Tensor
    id: Tensor
    kind: Tensor


class AnswerText(Strict):
    """The text that a model is to write: that of the hidden edge, of the root or of the target.

    Args:
        of: ``"event"``: the text of the edge hidden from the root, such as its review: a column
            of the node that is the interaction, or of the edge itself. ``"root"``: the text of
            the root itself, such as an utterance. ``"target"``: the text of the node that the
            hidden edge leads to, such as a title.
        column: The column of the text. Without one the answer of ``"target"`` is the node itself,
            as a token.
        longest: Tokens of an answer at most, the first ones.
        mentions: How the texts name nodes, which stand in the answer as tokens then, or as blanks.

    Raises:
        GraphRecError: For no column where a text is needed.
    """

    of: Literal["event", "root", "target"]
    column: str | None = None
    longest: int = Field(32, ge=1)
    mentions: Mentions | None = None

    def model_post_init(self, context: object) -> None:
        """Check the options together."""
        if self.column is None and self.of != "target":
            raise GraphRecError("answer", f"a column with the text of the {self.of}", "none")

    @property
    def has_nodes(self) -> bool:
        """Whether nodes stand in answers as tokens."""
        named = self.mentions is not None and self.mentions.blank is None
        return self.column is None or named

    def check(self, spec: GraphSpec, who: str = "answer") -> None:
        """Raise unless the graph can have such texts.

        Columns of edges are only known when the graph is at hand: :meth:`packed` checks them.
        """
        if self.column is None:
            return
        types = {node.name: node.columns for node in spec.nodes}
        events = {relation.event for relation in spec.relations if relation.event is not None}
        if self.of == "event" and not events:
            return
        chosen = events if self.of == "event" else set(types)
        known = {c for name in chosen for c, kind in types[name].items() if kind != "vector"}
        titles = {node.title for node in spec.nodes if node.name in chosen and node.title}
        if self.column not in known | titles:
            where = "of " + " or ".join(sorted(chosen)) if self.of == "event" else "of the nodes"
            hint = did_you_mean(self.column, known | titles)
            raise GraphRecError(who, f"a text column {where}", repr(self.column), hint)

    def rows(self, graph: Graph, roots: Tensor, edges: Tensor | None) -> Tensor:
        """Return what names the answer of each example: int64 ``[n]``, −1 for none.

        Args:
            graph: A graph with these edges.
            roots: int64 ``[n]`` or ``[n, 2]`` global ids.
            edges: int64 ``[n]`` ids of the edges hidden from them, or None.

        Returns:
            Edge ids for ``"event"``, global ids of nodes else.

        Raises:
            GraphRecError: Without edges where they are needed.
        """
        if self.of == "root":
            return roots if roots.ndim == 1 else roots[:, 0]
        if self.of == "target" and roots.ndim == 2:
            return roots[:, 1]
        if edges is None:
            hint = "roots: a relation, whose edges are hidden one by one"
            raise GraphRecError("answer", f"hidden edges for the text of the {self.of}", "", hint)
        return edges if self.of == "event" else _ends(graph, edges)

    def nodes(self, graph: Graph, rows: Tensor) -> Tensor:
        """Return the node whose text each answer is: int64 ``[n]``, −1 for none."""
        return _events(graph, rows) if self.of == "event" else rows

    def packed(self, graph: Graph, rows: Tensor, words: Words | None) -> Answers:
        """Return the tokens of answers; rows without a text have none.

        Args:
            graph: Has the texts: the whole graph for what is held out.
            rows: int64 ``[n]`` of :meth:`rows`.
            words: The model's tokenizer; not needed where the answer is the node itself.

        Raises:
            GraphRecError: When no node or edge has such a text.
        """
        if self.column is None:
            there = rows >= 0
            return Answers(
                _starts(there.long()), rows[there], torch.full_like(rows, Kind.NODE)[there]
            )
        if words is None:
            raise GraphRecError(
                "answer", "a tokenizer of texts", "none", "model.text: trained:8000"
            )
        start = torch.zeros_like(rows, device="cpu")  # texts stay on the CPU
        count, none = start.clone(), start[:0]
        ids, kinds, before = [none], [none], 0
        for mine, place, table, name in self._tables(graph, rows):
            mine, place = mine.cpu(), place.cpu()
            ends, id, kind = self._pieces(graph, table, name, words)
            first = ends[place]
            length = (ends[place + 1] - first).clamp(max=self.longest)
            start[mine], count[mine] = before + length.cumsum(0) - length, length
            taken = ranges(first, length)[0]
            ids.append(id[taken].long())
            kinds.append(torch.full_like(taken, Kind.TEXT) if kind is None else kind[taken])
            before += len(taken)
        if not before and len(rows):
            self._check_texts(graph, words)
        order = ranges(start, count)[0]
        packed = _starts(count), torch.cat(ids)[order], torch.cat(kinds)[order]
        return Answers(*(part.to(rows.device) for part in packed))

    def texts(self, graph: Graph, rows: Tensor) -> list[str]:
        """Return answers as texts, uncut; an empty text where there is none.

        Args:
            graph: Has the texts: the whole graph for what is held out.
            rows: int64 ``[n]`` of :meth:`rows`.
        """
        if self.column is None:
            return [graph.title(node) if node >= 0 else "" for node in rows.tolist()]
        texts = [""] * len(rows)
        for mine, place, table, name in self._tables(graph, rows):
            found = (
                table[self.column]
                .cast(pl.String)
                .fill_null("")
                .gather(place.cpu().numpy())
                .to_list()
            )
            if self.mentions is not None and name is not None and self._names(graph, name):
                found = list(with_titles(graph, name, found, self.mentions))
            for at, text in zip(mine.nonzero().squeeze(1).tolist(), found, strict=True):
                texts[at] = text
        return texts

    def _tables(
        self, graph: Graph, rows: Tensor
    ) -> Iterator[tuple[Tensor, Tensor, pl.DataFrame, str | None]]:
        """Yield each table with the column.

        Yields:
            Its answers (bool ``[n]``), their places, the table, and its node type if it has one.
        """
        if self.of == "event":
            for relation in graph.schema.relations:
                edges = graph.edge_tables.get(relation.name)
                if relation.event is None and edges is not None and self.column in edges.columns:
                    place = rows - graph.edge_offset[relation.name]
                    mine = (rows >= 0) & (place >= 0) & (place < len(edges))
                    yield mine, place[mine], edges, None
        node = self.nodes(graph, rows)
        for name in graph.schema.node_names:
            if self.column in graph.tables[name].columns[1:]:
                owned = graph.nodes(name)
                mine = (node >= owned.start) & (node < owned.stop)
                yield mine, node[mine] - owned.start, graph.tables[name], name

    def _pieces(
        self, graph: Graph, table: pl.DataFrame, name: str | None, words: Words
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Return where the texts of a table start, their ids, and kinds where some are nodes."""
        assert self.column is not None
        if self.mentions is None or name is None or not self._names(graph, name):
            return (*packed_texts(table, self.column, words), None)
        return pieces_of(graph, name, self.column, words, self.mentions)

    def _names(self, graph: Graph, node_type: str) -> bool:
        """Return whether texts of a node type name nodes."""
        leaving = [relation.name for relation in graph.schema.leaving(node_type)]
        return self.mentions is not None and self.mentions.relation in leaving

    def _check_texts(self, graph: Graph, words: Words) -> None:
        """Raise unless some row of some table has a text."""
        assert self.column is not None
        none = torch.full((1,), -1)
        for _, _, table, _ in self._tables(graph, none):
            if len(packed_texts(table, self.column, words)[1]):
                return
        known = sorted({c for table in graph.tables.values() for c in table.columns[1:]})
        hint = did_you_mean(self.column, known)
        raise GraphRecError("answer", "a column that has texts", repr(self.column), hint)


def _events(graph: Graph, edges: Tensor) -> Tensor:
    """Return the node that is each interaction, such as its review: int64 ``[n]``, −1 for none."""
    found = torch.full_like(edges, -1)
    for relation in graph.schema.relations:
        if relation.event is None or relation.backward:
            continue
        column = graph.edge_tables[relation.name]["event"]
        place = edges - graph.edge_offset[relation.name]
        mine = (edges >= 0) & (place >= 0) & (place < len(column))
        event = column.fill_null(-1).to_torch().long()[place[mine]]
        found[mine] = torch.where(event < 0, -1, event + graph.nodes(relation.event).start)
    return found


def _ends(graph: Graph, edges: Tensor) -> Tensor:
    """Return the node that each edge leads to: int64 ``[n]``, −1 for unknown edges."""

    def made() -> Tensor:
        ends = torch.full((graph.num_edge_ids,), -1, dtype=torch.int64)
        for relation in graph.schema.relations:
            if not relation.backward:
                found = graph.edges(relation.name)
                ends[found.edge.cpu()] = found.target.cpu()
        return ends

    ends = _targets(graph, None, made)
    return torch.where(edges < 0, -1, ends[edges.clamp(min=0)])


def _starts(count: Tensor) -> Tensor:
    return torch.cat([count.new_zeros(1), count.cumsum(0)])

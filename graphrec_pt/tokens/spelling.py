"""Nodes, names, columns and values as tokens: the pieces that fill the slots of a phrase."""

from dataclasses import dataclass, replace
from math import isfinite

import polars as pl
import torch
from torch import Tensor

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.core.memo import Memo
from graphrec_pt.graph.graph import Graph
from graphrec_pt.kernels.torch.segments import ranges
from graphrec_pt.tokens.identifiers import Identifier
from graphrec_pt.tokens.join import merged, side_by_side
from graphrec_pt.tokens.kind import Kind
from graphrec_pt.tokens.phrase import NAME, NODE, TITLE, SlotOptions
from graphrec_pt.tokens.tokens import Tokens
from graphrec_pt.tokens.words import Words

Packed = tuple[Tensor, Tensor]
"""Where the text of each node starts, int64 ``[n+1]``, and ids, int64 ``[M]``."""

_spelled: Memo[Packed] = Memo()  # of a node table
_literals: Memo[Tensor] = Memo()  # of a graph


@dataclass(frozen=True, eq=False)
class Members:
    """What stands in a slot: E nodes in all, side by side for each of n sequences.

    Args:
        node: int64 ``[E]`` global ids.
        owner: int64 ``[E]`` in ``[0, n)``, ascending.
        size: n.
        hop: int64 ``[E]``, as sampled.
        relation: int64 ``[E]``, as sampled.
        time: int64 ``[E]``, as sampled.
    """

    node: Tensor
    owner: Tensor
    size: int
    hop: Tensor
    relation: Tensor
    time: Tensor

    def take(self, chosen: Tensor) -> "Members":
        """Return some of the members: int64 ``[k]`` or bool ``[E]``."""
        columns = {name: getattr(self, name)[chosen] for name in ("node", "owner", *_SAMPLED)}
        return Members(size=self.size, **columns)

    def rank(self) -> Tensor:
        """Return the place of each member in its sequence: int64 ``[E]``."""
        count = torch.bincount(self.owner, minlength=self.size)
        first = (count.cumsum(0) - count)[self.owner]
        return torch.arange(len(self.owner), device=self.owner.device) - first


_SAMPLED = ("hop", "relation", "time")


@dataclass(frozen=True)
class Speller:
    """Writes the members of slots as tokens.

    Args:
        graph: The graph.
        words: The tokenizer.
        identifier: What `name` is.
    """

    graph: Graph
    words: Words
    identifier: Identifier

    def literal(self, text: str) -> Tensor:
        """Return the ids of a text of the phrase: int64 ``[k]``."""
        tokenizer = self.words.tokenizer
        key, given = (text, id(tokenizer)), (tokenizer,)
        return _literals(self.graph, key, lambda: self._encoded(text), given=given)

    def _encoded(self, text: str) -> Tensor:
        return torch.tensor(self.words.encode(text) if text.strip() else [], dtype=torch.int64)

    def values(self, texts: list[str], before: str, longest: int) -> Tokens:
        """Return one sequence for each text, all of one word.

        Args:
            texts: n texts, an empty one for none.
            before: The spaces before each.
            longest: Tokens of each at most.
        """
        known = {t: self.words.encode(before + t)[:longest] if t else [] for t in {*texts}}
        ids = [known[text] for text in texts]
        count = torch.tensor([len(each) for each in ids], dtype=torch.int64)
        flat = torch.tensor([id for each in ids for id in each], dtype=torch.int64)
        return Tokens.of(flat, Kind.TEXT, torch.cat([count.new_zeros(1), count.cumsum(0)]))

    def written(
        self, members: Members, options: SlotOptions, before: str, links: list[str] | None = None
    ) -> Tokens:
        """Return n sequences of the members of each, `word` counting the members.

        Args:
            members: E nodes.
            options: How they are written.
            before: The spaces before the first.
            links: E texts that stand before each member but the first of a sequence, in place of
                the `join` of the options.
        """
        later = members.rank() > 0
        joint = options.join.rstrip()
        first, after = before, options.join[len(joint) :]
        if links is not None:
            texts = ["" if not t else s for t, s in zip(later.tolist(), links, strict=True)]
            between, after = self.values(texts, " ", options.tokens), " "
        else:
            ids, count = self.literal(joint), int(later.sum())
            ptr = torch.cat([ids.new_zeros(1), (later.long() * len(ids)).cumsum(0)])
            between = Tokens.of(ids.repeat(count), Kind.TEXT, ptr)
        parts = [between]
        for form in options.forms:
            if form == NODE:
                parts.append(self._nodes(members))
            else:
                parts.append(self._texts(members, form, options, later, (first, after)))
            first, after = " ", " "  # between the forms of one node
        element = side_by_side(parts)
        row = element.sequence_of()
        joins = element.places() < between.lengths()[row]
        element = replace(element, word=torch.where(joins, -1, members.rank()[row]))
        return merged(element, members.owner, members.size)

    def _nodes(self, members: Members) -> Tokens:
        columns = {name: getattr(members, name) for name in _SAMPLED}
        types = self.graph.csr.node_type(members.node)
        ptr = torch.arange(len(members.node) + 1)
        return Tokens.of(members.node, Kind.NODE, ptr, type=types, **columns)

    def _texts(
        self,
        members: Members,
        form: str,
        options: SlotOptions,
        later: Tensor,
        before: tuple[str, str],
    ) -> Tokens:
        """Return one text for each member, with other spaces before first ones than later ones."""
        start, count = torch.zeros_like(members.node), torch.zeros_like(members.node)
        pools, pooled = [members.node[:0]], 0
        kinds = self.graph.csr.node_type(members.node)
        for kind in torch.unique(kinds).tolist():
            node_type = self.graph.schema.node_names[kind]
            offset = self.graph.nodes(node_type).start
            for spaces, rows in ((before[0], ~later), (before[1], later)):
                mine = (rows & (kinds == kind)).nonzero().squeeze(1)
                if not len(mine):
                    continue
                ends, ids = self._packed(node_type, form, spaces)
                node = members.node[mine] - offset
                size = (ends[node + 1] - ends[node]).clamp(max=options.tokens)
                pools.append(ids[ranges(ends[node], size)[0]])
                start[mine], count[mine] = pooled + size.cumsum(0) - size, size
                pooled += len(pools[-1])
        ids = torch.cat(pools)[ranges(start, count)[0]]
        ptr = torch.cat([count.new_zeros(1), count.cumsum(0)])
        owner = torch.arange(len(count)).repeat_interleave(count)
        sampled = {name: getattr(members, name)[owner] for name in ("hop", "time")}
        return Tokens.of(ids, Kind.TEXT, ptr, **sampled)

    def _packed(self, node_type: str, form: str, spaces: str) -> Packed:
        """Return the tokens of one form of every node of a type; made once for a graph."""
        source = self.identifier if form == NAME else form
        key = node_type, str(source), spaces, id(self.words.tokenizer)

        def made() -> Packed:
            return _encoded(self.texts_of(node_type, form), spaces, self.words)

        return _spelled(self.graph.tables[node_type], key, made, given=(self.words.tokenizer,))

    def texts_of(self, node_type: str, form: str) -> pl.Series:
        """Return one form of every node of a type as text, in the order of the nodes.

        Raises:
            GraphRecError: For a title or column that the type does not have.
        """
        if form == NAME:
            return self.identifier.names(self.graph, node_type)
        column = (
            self.graph.schema.node(node_type).title if form == TITLE else form.removeprefix(".")
        )
        table = self.graph.tables[node_type]
        if column is None or column not in table.columns:
            known = ", ".join(f".{name}" for name in table.columns)
            expected = (
                f"a title of {node_type!r}" if form == TITLE else f"a column of {node_type!r}"
            )
            got = "none" if column is None else repr(column)
            raise GraphRecError("slot", expected, got, f"as: name, or one of {known}")
        return as_text(table[column])


def as_text(values: pl.Series) -> pl.Series:
    """Return values as a person writes them: whole numbers without a point, one decimal else."""
    if values.dtype.is_float():
        numbers = values.to_list()
        known = {number: number_text(number) for number in set(numbers) if number is not None}
        return pl.Series([known.get(number, "") for number in numbers], dtype=pl.String)
    return values.cast(pl.String).fill_null("")


def number_text(number: float) -> str:
    """Return a number as a person writes it; not a number is nothing."""
    if not isfinite(number):
        return ""
    return f"{number:.0f}" if number == round(number) else f"{number:.1f}"


def _encoded(texts: pl.Series, spaces: str, words: Words) -> Packed:
    different = texts.unique(maintain_order=True)
    known = {text: words.encode(spaces + text) if text.strip() else [] for text in different}
    ids = [known[text] for text in texts]
    count = torch.tensor([len(each) for each in ids], dtype=torch.int64)
    flat = torch.tensor([id for each in ids for id in each], dtype=torch.int64)
    return torch.cat([count.new_zeros(1), count.cumsum(0)]), flat

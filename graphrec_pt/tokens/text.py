"""Text inline: node tokens followed by the texts of their nodes."""

from collections.abc import Mapping
from typing import Self

import torch
from pydantic import Field
from torch import Tensor

from graphrec_pt.core.errors import GraphRecError, did_you_mean
from graphrec_pt.core.key import Key
from graphrec_pt.core.registry import changed
from graphrec_pt.graph.graph import Graph
from graphrec_pt.sampling.sample import Sample
from graphrec_pt.tokens.field_texts import Fields, FieldTexts, TokenTexts, texts_of_tokens
from graphrec_pt.tokens.kind import IGNORE, Kind
from graphrec_pt.tokens.linearizer import Linearizer, LinearizerField, ProvidedFields, linearizer
from graphrec_pt.tokens.mentions import Mentions
from graphrec_pt.tokens.tokens import Tokens
from graphrec_pt.tokens.words import TokenizerField, Words

LONGEST = 32
"""Tokens of a column at most, unless an option says otherwise."""


@linearizer("text")
class TextLinearizer(Linearizer):
    """The sequence of another linearizer with the texts of every node after its token.

    The input of language models for recommendation: interleaved node and text tokens (MESE,
    Yang et al., NAACL 2022), or text alone (P5, Geng et al., RecSys 2022). `word` numbers the
    nodes of a sequence and is shared by a node and its text: the whole-word index of P5. A text
    token has its node's token as parent, and the hop and time of that token. An objective
    that masks a node must mask all tokens of its word.

    A type may have several columns: a SEP stands between its texts, and their `slot` is the number
    of the field, from 1 (segment embeddings). With one column it is the slot of the node.

    With `mentions` a node stands where the text of another names it, as the @111776 of ReDial: the
    token that the base reached from the one with the text, by the relation of the mention, moves
    there with its own text, and is repeated where it is named again. A node that the base did not
    reach that way is hidden from this sequence, perhaps because it is the answer: its marker is
    left out.

    Args:
        base: Config of the linearizer that makes the sequence of nodes.
        tokenizer: An object with ``encode(text)`` that returns ids (Hugging Face tokenizers of
            both libraries do), the folder of a Hugging Face tokenizer or the name of one in the
            local cache, or ``hashed:8192``: words in as many buckets, which need no file. By
            default that of the model.
        columns: Node type → column to read, or several in their order; by default the title of
            the types that have one.
        nodes: Keep the node tokens of nodes that have text; those of other nodes always stay.
        longest: Tokens of a text at most, the first ones; a number, or column → number.
        mentions: Node type → how its texts name other nodes.
        root: Whether the texts of roots (hop 0) are written. Without them a root whose text
            holds the answer, such as the turn of a dialogue, does not give it away.
    """

    base: LinearizerField
    tokenizer: TokenizerField | None = None
    columns: dict[str, str | tuple[str, ...]] | None = None
    nodes: bool = True
    longest: int | dict[str, int] = LONGEST
    mentions: dict[str, Mentions] = Field(default_factory=dict)
    root: bool = True

    def __post_init__(self) -> None:
        limits = self.longest.values() if isinstance(self.longest, dict) else [self.longest]
        if any(limit < 1 for limit in limits):
            raise GraphRecError("text", "longest >= 1", self.longest)

    @property
    def makes(self) -> ProvidedFields:
        """The kinds and fields of the base, text, whole words, and SEP between several fields."""
        made = self.base.makes.plus([Kind.TEXT], ["word"])
        several = any(isinstance(each, tuple) for each in (self.columns or {}).values())
        return made.plus([Kind.SPECIAL], ["slot"]) if several else made

    @property
    def names_root(self) -> bool:
        """As the base says."""
        return self.base.names_root

    @property
    def joins(self) -> bool:
        """As the base says."""
        return self.base.joins

    @property
    def prompt(self) -> str | None:
        """As the base says."""
        return self.base.prompt

    def with_words(self, words: Words) -> Self:
        """Return the same with the model's tokenizer, unless it names one."""
        tokenizer = words.tokenizer if self.tokenizer is None else self.tokenizer
        return changed(self, base=self.base.with_words(words), tokenizer=tokenizer)

    def check(self, graph: Graph) -> None:
        """Raise for columns and mentions that a graph does not have."""
        self.base.check(graph)
        self._fields(graph)

    def zero_shot(self) -> Self:
        """Return the same around what the base returns."""
        return changed(self, base=self.base.zero_shot())

    def linearize(self, graph: Graph, sample: Sample, key: Key) -> Tokens:
        """Return the sequences of the base with the texts of their nodes inserted."""
        base = self.base.linearize(graph, sample, key)
        words = Words.given("text", self.tokenizer)
        texts = texts_of_tokens(graph, base, self._fields(graph), words, self.root)
        return _woven(base, texts, self.nodes)

    def _fields(self, graph: Graph) -> Fields:
        """Return the columns of each node type, with the tokens of each at most.

        Raises:
            GraphRecError: For columns that the graph does not have, and mentions of types without
                a column.
        """
        limits = self.longest if isinstance(self.longest, dict) else {}
        rest = LONGEST if isinstance(self.longest, dict) else self.longest
        columns = self._columns(graph)
        for node_type, mentions in self.mentions.items():
            mentions.check(graph, node_type)
            if node_type not in columns:
                hint = f"columns: {{{node_type}: COLUMN}}"
                raise GraphRecError(
                    "text", f"a column of {node_type!r} to find mentions", "none", hint
                )
        named = {column for chosen in columns.values() for column in _several(chosen)}
        for column in limits:
            if column not in named:
                hint = did_you_mean(column, sorted(named))
                raise GraphRecError("text.longest", "columns that are read", repr(column), hint)
        return {
            node_type: FieldTexts(
                tuple((column, limits.get(column, rest)) for column in _several(chosen)),
                isinstance(chosen, tuple),
                self.mentions.get(node_type),
            )
            for node_type, chosen in columns.items()
        }

    def _columns(self, graph: Graph) -> Mapping[str, str | tuple[str, ...]]:
        schema = graph.schema
        if self.columns is None:
            titles = {node.name: node.title for node in schema.nodes if node.title is not None}
            if not titles:
                names = ", ".join(schema.node_names)
                hint = "columns: {type: column}"
                raise GraphRecError("text", f"a title column on one of {names}", "none", hint)
            return titles
        for node_type, chosen in self.columns.items():
            known = [n for n, k in schema.node(node_type).columns.items() if k != "vector"]
            for column in _several(chosen):
                if column not in known:
                    hint = "one of " + ", ".join(known) if known else ""
                    raise GraphRecError("text", f"a column of {node_type!r}", repr(column), hint)
        return self.columns


def _several(chosen: str | tuple[str, ...]) -> tuple[str, ...]:
    return (chosen,) if isinstance(chosen, str) else chosen


def _woven(base: Tokens, texts: TokenTexts, nodes: bool) -> Tokens:
    """Return the tokens of a base with the texts of its tokens.

    Args:
        base: B sequences of T tokens.
        texts: M tokens of texts, and where the base's tokens that they name stand.
        nodes: Keep the tokens whose text is written.
    """
    row, of = base.sequence_of(), texts.of
    count = torch.bincount(of, minlength=len(base.id))
    kept = ((count == 0) | nodes).nonzero().squeeze(1)
    # A token of the base that a text names moves to the first place that names it.
    named = (texts.names >= 0).nonzero().squeeze(1)
    never = torch.full_like(base.id, len(of))
    target = never.scatter_reduce(0, texts.names[named], named, "amin")
    moved = target < len(of)
    written = torch.ones_like(of, dtype=torch.bool)
    written[target[moved]] = False
    rest = written.nonzero().squeeze(1)  # of the texts: the others are tokens of the base
    home = torch.arange(len(base.id), device=base.id.device)
    place = torch.zeros_like(home)
    home[moved], place[moved] = of[target[moved]], texts.place[target[moved]]
    owner = of[rest]
    inner = torch.where(moved[owner], texts.place[rest], 0)
    outer = torch.where(moved[owner], place[owner], texts.place[rest])
    order = _sorted(
        torch.cat([home[kept], home[owner]]),
        torch.cat([place[kept], outer]),
        torch.cat([torch.zeros_like(kept), inner]),
    )
    at = torch.empty_like(order)
    at[order] = torch.arange(len(order), device=order.device)
    position = torch.full_like(base.id, -1)  # of each token of the base, −1 for one left out
    position[kept] = at[: len(kept)]
    room = torch.bincount(row[torch.cat([kept, owner])], minlength=len(base))
    ptr = torch.cat([room.new_zeros(1), room.cumsum(0)])
    start = ptr[row]

    def inside(token: Tensor) -> Tensor:  # its new index inside the sequence
        new = position[token.clamp(min=0)]
        return torch.where((token >= 0) & (new >= 0), new - start[token.clamp(min=0)], -1)

    # A node that is named again repeats the columns of its token.
    twin = texts.names[rest]
    again = twin >= 0
    model = torch.where(again, twin, owner)

    def woven(column: Tensor, text: Tensor) -> Tensor:
        return torch.cat([column[kept], text])[order]

    def repeated(column: Tensor, none: int) -> Tensor:
        return torch.where(again, column[model], none)

    word, edges = _words(base), base.edges
    if edges is not None:
        edges = edges[(position[edges[:, 0]] >= 0) & (position[edges[:, 2]] >= 0)]
        edges = torch.stack([position[edges[:, 0]], edges[:, 1], position[edges[:, 2]]], dim=1)
    field = texts.field[rest]
    slot = torch.where(again | (field == 0), base.slot[model], field)
    return Tokens.of(
        woven(base.id, texts.id[rest]),
        woven(base.kind, texts.kind[rest]),
        ptr,
        type=woven(base.type, repeated(base.type, -1)),
        slot=woven(base.slot, slot),
        hop=woven(base.hop, base.hop[model]),
        parent=woven(inside(base.parents()), inside(owner)),
        relation=woven(base.relation, repeated(base.relation, -1)),
        time=woven(base.time, base.time[model]),
        labels=woven(base.labels, torch.full_like(owner, IGNORE)),
        edges=edges,
        word=woven(word, word[model]),
    )


def _sorted(*keys: Tensor) -> Tensor:
    """Return the stable order by several keys of whole numbers from 0, the first one first."""
    whole = keys[0]
    for key in keys[1:]:
        whole = whole * (int(key.max()) + 1 if len(key) else 1) + key
    return torch.argsort(whole, stable=True)


def _words(tokens: Tokens) -> Tensor:
    """Return the number of each node in its sequence, −1 for other tokens: int64 ``[T]``."""
    is_node = tokens.kind == Kind.NODE
    before = is_node.long().cumsum(0) - is_node.long()
    first = torch.cat([before, before.new_zeros(1)])[tokens.ptr[:-1]]
    return torch.where(is_node, before - first[tokens.sequence_of()], -1)

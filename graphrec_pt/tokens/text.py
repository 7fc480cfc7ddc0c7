"""Text inline: node tokens followed by the text of their nodes."""

from typing import Self

import torch
from pydantic import Field
from torch import Tensor

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.core.key import Key
from graphrec_pt.core.registry import changed
from graphrec_pt.graph.graph import Graph
from graphrec_pt.kernels.torch.segments import ranges
from graphrec_pt.sampling.sample import Sample
from graphrec_pt.tokens.kind import IGNORE, Kind
from graphrec_pt.tokens.linearizer import Linearizer, LinearizerField, ProvidedFields, linearizer
from graphrec_pt.tokens.tokens import Tokens
from graphrec_pt.tokens.words import TokenizerField, Words, texts_of


@linearizer("text")
class TextLinearizer(Linearizer):
    """The sequence of another linearizer with the text of every node after its token.

    The input of language models for recommendation: interleaved node and text tokens (MESE,
    Yang et al., NAACL 2022), or text alone (P5, Geng et al., RecSys 2022). `word` numbers the
    nodes of a sequence and is shared by a node and its text: the whole-word index of P5. A text
    token has its node's token as parent, and the slot, hop and time of that token. An objective
    that masks a node must mask all tokens of its word.

    Args:
        base: Config of the linearizer that makes the sequence of nodes.
        tokenizer: An object with ``encode(text)`` that returns ids (Hugging Face tokenizers of
            both libraries do), the folder of a Hugging Face tokenizer or the name of one in the
            local cache, or ``hashed:8192``: words in as many buckets, which need no file. By
            default that of the model.
        columns: Node type → column to read; by default the title of the types that have one.
        nodes: Keep the node tokens of nodes that have text; those of other nodes always stay.
        longest: Text tokens per node at most, the first ones.
    """

    base: LinearizerField
    tokenizer: TokenizerField | None = None
    columns: dict[str, str] | None = None
    nodes: bool = True
    longest: int = Field(32, ge=1)

    @property
    def makes(self) -> ProvidedFields:
        """The kinds and fields of the base, text, and whole words."""
        return self.base.makes.plus([Kind.TEXT], ["word"])

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

    def linearize(self, graph: Graph, sample: Sample, key: Key) -> Tokens:
        """Return the sequences of the base with the text of their nodes inserted."""
        base = self.base.linearize(graph, sample, key)
        start, count, pool = self._texts(graph, base)
        kept = (count == 0) | self.nodes
        room = kept.long() + count  # of each token of the base and its text
        end = torch.cat([room.new_zeros(1), room.cumsum(0)])
        place, ptr, row = end[:-1], end[base.ptr], base.sequence_of()

        def moved(token: Tensor) -> Tensor:  # to its new index inside the sequence
            there = (token >= 0) & kept[token.clamp(min=0)]
            return torch.where(there, (place - ptr[row])[token.clamp(min=0)], -1)

        nodes = kept.nonzero().squeeze(1)
        at, of = ranges(start, count)  # text tokens: their place in the pool, their node's token
        rank = ranges(torch.zeros_like(count), count)[0]
        order = torch.empty_like(torch.cat([nodes, of]))
        order[torch.cat([place[nodes], place[of] + kept[of] + rank])] = torch.arange(
            len(order), device=order.device
        )

        def woven(column: Tensor, text: Tensor | int) -> Tensor:
            text = torch.full_like(of, text) if isinstance(text, int) else text
            return torch.cat([column[nodes], text])[order]

        word, edges = _words(base), base.edges
        if edges is not None:
            edges = edges[kept[edges[:, 0]] & kept[edges[:, 2]]]
            edges = torch.stack([place[edges[:, 0]], edges[:, 1], place[edges[:, 2]]], dim=1)
        return Tokens.of(
            woven(base.id, pool[at]),
            woven(base.kind, Kind.TEXT),
            ptr,
            type=woven(base.type, -1),
            slot=woven(base.slot, base.slot[of]),
            hop=woven(base.hop, base.hop[of]),
            parent=woven(moved(base.parents()), moved(of)),
            relation=woven(base.relation, -1),
            time=woven(base.time, base.time[of]),
            labels=woven(base.labels, IGNORE),
            edges=edges,
            word=woven(word, word[of]),
        )

    def _texts(self, graph: Graph, tokens: Tokens) -> tuple[Tensor, Tensor, Tensor]:
        """Return start and length of the text of each token, ``[T]`` both, in a pool of ids."""
        words = Words.given("text", self.tokenizer)
        start, count = torch.zeros_like(tokens.id), torch.zeros_like(tokens.id)
        pools, before = [tokens.id[:0]], 0
        for node_type, column in self._columns(graph).items():
            owned = graph.nodes(node_type)
            mine = (tokens.kind == Kind.NODE) & (tokens.id >= owned.start)
            mine &= tokens.id < owned.stop
            if not bool(mine.any()):
                continue
            ends, ids = texts_of(graph, node_type, column, words)
            node = (tokens.id[mine] - owned.start).to(ids.device)  # texts stay on the CPU
            first = ends[node]
            pool = ids[ranges(first, (ends[node + 1] - first).clamp(max=self.longest))[0]]
            mine_count = (ends[node + 1] - first).clamp(max=self.longest).to(mine.device)
            start[mine], count[mine] = before + mine_count.cumsum(0) - mine_count, mine_count
            pools.append(pool.long().to(mine.device))
            before += len(pools[-1])
        return start, count, torch.cat(pools)

    def _columns(self, graph: Graph) -> dict[str, str]:
        schema = graph.schema
        if self.columns is None:
            titles = {node.name: node.title for node in schema.nodes if node.title is not None}
            if not titles:
                names = ", ".join(schema.node_names)
                hint = "columns: {type: column}"
                raise GraphRecError("text", f"a title column on one of {names}", "none", hint)
            return titles
        for node_type, column in self.columns.items():
            known = [n for n, k in schema.node(node_type).columns.items() if k != "vector"]
            if column not in known:
                hint = "one of " + ", ".join(known) if known else ""
                raise GraphRecError("text", f"a column of {node_type!r}", repr(column), hint)
        return self.columns


def _words(tokens: Tokens) -> Tensor:
    """Return the number of each node in its sequence, −1 for other tokens: int64 ``[T]``."""
    is_node = tokens.kind == Kind.NODE
    before = is_node.long().cumsum(0) - is_node.long()
    first = torch.cat([before, before.new_zeros(1)])[tokens.ptr[:-1]]
    return torch.where(is_node, before - first[tokens.sequence_of()], -1)

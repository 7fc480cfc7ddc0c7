"""The texts of the node tokens of a batch: several columns per type, and nodes named in them."""

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from graphrec_pt.graph.graph import Graph
from graphrec_pt.kernels.torch.segments import ranges
from graphrec_pt.tokens.kind import Kind, Special
from graphrec_pt.tokens.mentions import Mentions, pieces_of
from graphrec_pt.tokens.tokens import Tokens
from graphrec_pt.tokens.words import Words


class FieldTexts(NamedTuple):
    """The texts of one node type.

    Args:
        columns: Column and its tokens at most, in the order of writing.
        numbered: Whether their tokens get the numbers of the fields, from 1.
        mentions: How the texts name other nodes, if they do.
    """

    columns: tuple[tuple[str, int], ...]
    numbered: bool
    mentions: Mentions | None


Fields = Mapping[str, FieldTexts]
"""Node type → its texts."""


class TokenTexts(NamedTuple):
    """The texts of the tokens of a batch: M tokens, by the token that they describe.

    Args:
        of: int64 ``[M]``, the token of the batch whose text it is; ascending.
        place: int64 ``[M]``, place in that text, from 1.
        id: int64 ``[M]``.
        kind: int64 ``[M]`` of TEXT, NODE and SPECIAL.
        field: int64 ``[M]``, number of the field; 0 where fields are not numbered.
        names: int64 ``[M]``, for a NODE the token of the batch that it stands for; −1 else.
    """

    of: Tensor
    place: Tensor
    id: Tensor
    kind: Tensor
    field: Tensor
    names: Tensor


def texts_of_tokens(
    graph: Graph, tokens: Tokens, fields: Fields, words: Words, roots: bool
) -> TokenTexts:
    """Return the texts of the node tokens of a batch.

    A node that a text names is kept where the batch has a token of it that was reached from the
    token with the text by the relation of the mention; else it is left out.

    Args:
        graph: The graph.
        tokens: The batch.
        fields: The columns that are written.
        words: The tokenizer.
        roots: Whether roots (hop 0) get their texts.
    """
    parts: list[tuple[Tensor, Tensor, Tensor, Tensor, Tensor]] = []
    for node_type, wanted in fields.items():
        owned = graph.nodes(node_type)
        mine = (tokens.kind == Kind.NODE) & (tokens.id >= owned.start) & (tokens.id < owned.stop)
        mine &= roots | (tokens.hop != 0)
        token = mine.nonzero().squeeze(1)
        if len(token):
            node = (tokens.id[token] - owned.start).cpu()  # texts stay on the CPU
            parts += _fields(graph, node_type, wanted, token, node, words)
    if not parts:
        none = tokens.id[:0]
        return TokenTexts(none, none, none, none, none, none)
    of, order, id, kind, field = (torch.cat(each) for each in zip(*parts, strict=True))
    longest = int(order.max()) + 1 if len(order) else 1
    by_token = torch.argsort(of * longest + order, stable=True)
    of, id, kind, field = of[by_token], id[by_token], kind[by_token], field[by_token]
    names = torch.full_like(of, -1)
    named = (kind == Kind.NODE).nonzero().squeeze(1)
    if len(named):
        names[named] = _named(graph, tokens, fields, of[named], id[named])
        kept = ((kind != Kind.NODE) | (names >= 0)).nonzero().squeeze(1)
        of, id, kind, field, names = (c[kept] for c in (of, id, kind, field, names))
    count = torch.bincount(of, minlength=len(tokens.id))
    place = torch.arange(len(of), device=of.device) - (count.cumsum(0) - count)[of] + 1
    return TokenTexts(of, place, id, kind, field, names)


def _fields(
    graph: Graph, node_type: str, wanted: FieldTexts, token: Tensor, node: Tensor, words: Words
) -> list[tuple[Tensor, Tensor, Tensor, Tensor, Tensor]]:
    """Return (token, order in its text, id, kind, field) of the fields of one type."""
    made, device = [], token.device
    before = torch.zeros_like(token)  # number of the last field with a text, 0 for none
    passed = torch.zeros_like(token)  # tokens so far
    for number, (column, longest) in enumerate(wanted.columns, 1):
        pieces = pieces_of(graph, node_type, column, words, wanted.mentions)
        start = pieces.ptr[node]
        size = (pieces.ptr[node + 1] - start).clamp(max=longest)
        at, owner = ranges(start, size)
        rank = ranges(torch.zeros_like(size), size)[0].to(device)
        owner, size = owner.to(device), size.to(device)
        parted = ((size > 0) & (before > 0)).nonzero().squeeze(1)
        if len(parted):
            separator = torch.full_like(parted, Special.SEP), torch.full_like(parted, Kind.SPECIAL)
            made.append((token[parted], passed[parted], *separator, before[parted]))
            passed[parted] += 1
        field = torch.full_like(owner, number if wanted.numbered else 0)
        id, kind = pieces.id[at].to(device), pieces.kind[at].to(device)
        made.append((token[owner], passed[owner] + rank, id, kind, field))
        passed += size
        before = torch.where(size > 0, number, before)
    return made


def _named(graph: Graph, tokens: Tokens, fields: Fields, of: Tensor, id: Tensor) -> Tensor:
    """Return the token that each named node stands for, −1 for none: int64 ``[n]``.

    Args:
        graph: The graph.
        tokens: The batch.
        fields: The columns that are written.
        of: int64 ``[n]``, the token whose text names a node.
        id: int64 ``[n]``, the node.
    """
    mentions = [each.mentions for each in fields.values() if each.mentions is not None]
    relations = [graph.schema.relation_index(each.relation) for each in mentions]
    reached = torch.isin(tokens.relation, tokens.relation.new_tensor(relations))
    reached &= (tokens.parent >= 0) & (tokens.kind == Kind.NODE)
    token = reached.nonzero().squeeze(1)
    if not len(token):
        return torch.full_like(of, -1)
    nodes = graph.num_nodes()
    pair, order = torch.sort(tokens.parents()[token] * nodes + tokens.id[token], stable=True)
    wanted = of * nodes + id
    found = torch.searchsorted(pair, wanted).clamp(max=len(pair) - 1)
    return torch.where(pair[found] == wanted, token[order[found]], -1)

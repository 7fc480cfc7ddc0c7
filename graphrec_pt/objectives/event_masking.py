"""Which items of a history are hidden, and what would tell of their attributes."""

from dataclasses import replace

import torch
from torch import Tensor

from graphrec_pt.graph.graph import Graph
from graphrec_pt.objectives.draws import Draws
from graphrec_pt.objectives.masking import Masking, choose, occurrences
from graphrec_pt.objectives.multi_label import Labels
from graphrec_pt.tokens.kind import Kind, Special
from graphrec_pt.tokens.tokens import Tokens


def events(tokens: Tokens, node_type: int | None = None) -> Tensor:
    """Return which tokens are events: nodes that are no root of their sequence, bool ``[T]``.

    Args:
        tokens: B sequences.
        node_type: Index of their type; any by default.
    """
    found = (tokens.kind == Kind.NODE) & (tokens.hop != 0)
    return found if node_type is None else found & (tokens.type == node_type)


def last_of(tokens: Tokens, among: Tensor) -> Tensor:
    """Return the last of some tokens in each sequence: int64 ``[B]``, −1 where there is none.

    Args:
        tokens: B sequences.
        among: bool ``[T]``.
    """
    place = among.nonzero().squeeze(1)
    row = tokens.sequence_of()[place]
    last = torch.full((len(tokens),), -1, device=tokens.id.device)
    return last.scatter_reduce(0, row, place, "amax")


def choose_events(
    tokens: Tokens, eligible: Tensor, draws: Draws, policy: Masking, *, last: bool
) -> Tensor:
    """Return which events are to be hidden: bool ``[T]``.

    Args:
        tokens: B sequences.
        eligible: bool ``[T]``.
        draws: Of the sequences, named for the purpose.
        policy: How many.
        last: Hide the last of each sequence always, as S3-Rec does: the place that a model is
            asked for when it recommends.
    """
    chosen = choose(tokens, eligible, draws, policy)
    if last:
        latest = last_of(tokens, eligible)
        chosen[latest[latest >= 0]] = True
    return occurrences(tokens, chosen) & eligible if policy.everywhere else chosen


def without_attributes(
    graph: Graph, tokens: Tokens, relation: str, items: Tensor, labels: Labels
) -> Tokens:
    """Return tokens with the attributes of some items hidden where they stand beside them.

    Args:
        graph: What may be seen.
        tokens: B sequences.
        relation: Leads from items to attributes.
        items: int64 ``[n]``, tokens.
        labels: Their attributes, numbered inside the type.
    """
    target = graph.schema.relation(relation).target
    first = graph.nodes(target).start
    named = (tokens.sequence_of() << 32) | tokens.id
    telling = (tokens.sequence_of()[items][labels.row] << 32) | (labels.label + first)
    told = (tokens.kind == Kind.NODE) & (tokens.type == graph.schema.node_index(target))
    told &= torch.isin(named, telling)
    if not bool(told.any()):
        return tokens
    return replace(
        tokens,
        id=torch.where(told, int(Special.MASK), tokens.id),
        kind=torch.where(told, int(Kind.SPECIAL), tokens.kind),
    )


def with_text(tokens: Tokens, nodes: Tensor) -> Tensor:
    """Return some nodes and the tokens of their text: bool ``[T]``."""
    if tokens.word is None:
        return nodes
    name = (tokens.sequence_of() << 32) | tokens.word.clamp(min=0)
    text = (tokens.kind == Kind.TEXT) & (tokens.word >= 0)
    return nodes | (text & torch.isin(name, name[nodes & (tokens.word >= 0)]))

"""Which items of a history are hidden, and what would tell of their attributes."""

from dataclasses import replace

import torch
from torch import Tensor

from graphrec_pt.graph.graph import Graph
from graphrec_pt.objectives.multi_label import Labels
from graphrec_pt.tokens.kind import Kind, Special
from graphrec_pt.tokens.tokens import Tokens


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

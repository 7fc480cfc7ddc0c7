"""Negatives of a candidate set: any node, nodes of the same category, or the batch's positives."""

from typing import Literal

import torch
from torch import Tensor

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.graph.graph import Graph
from graphrec_pt.graph.schema import Relation
from graphrec_pt.graph.spec import GraphSpec
from graphrec_pt.kernels.adjacency import member
from graphrec_pt.objectives.pairs import drawn_negatives
from graphrec_pt.objectives.sequence_rng import SequenceRNG, one_of

How = Literal["uniform", "category", "batch"]
TRIES = 4
"""Draws within a category before a negative of any category is taken."""


def category_negatives(
    graph: Graph,
    relation: Relation,
    source: Tensor,
    category: str,
    positive: Tensor,
    draws: SequenceRNG,
    count: int,
) -> Tensor:
    """Return nodes that share a category with the positive and are no true targets.

    The fine-grained negatives of OutfitTransformer's curriculum (Sarkar et al., WACV 2023). A
    node of any category takes the place of one that :data:`TRIES` draws do not find.

    Args:
        graph: The graph that may be seen.
        relation: Leads from sources to candidates.
        source: int64 ``[n]``.
        category: Relation from candidates to their categories; the first one counts.
        positive: int64 ``[n]``.
        draws: Draws of n sequences, named for the purpose.
        count: K.

    Returns:
        int64 ``[n, K]``; −1 where no node is left.
    """
    out = drawn_negatives(graph, relation, source, draws, count)
    csr, schema = graph.csr, graph.schema
    first = csr.first_segment(positive) + schema.slot(category)
    low, high = csr.segment[first], csr.segment[first + 1]
    known = high > low
    node = torch.where(known, csr.indices[torch.where(known, low, 0)].long(), -1)
    back = torch.where(known, node, graph.nodes(schema.relation(category).target).start)
    inner = csr.first_segment(back) + schema.slot(schema.relation(category).inverse or "")
    start, size = csr.segment[inner], csr.segment[inner + 1] - csr.segment[inner]
    known &= size > 1
    words = draws.named("category").of_sequences(TRIES * count)[:, :, 0]  # [n, TRIES * K]
    spread = size.clamp(min=1)[:, None].expand_as(words)
    drawn = csr.indices[(start[:, None] + one_of(words, spread)).clamp(max=len(csr.indices) - 1)]
    drawn = drawn.long().view(len(source), count, TRIES)
    pairs = source[:, None, None].expand_as(drawn).flatten()
    true = member(csr, pairs, schema.slot(relation.name), drawn.flatten()).view_as(drawn)
    fits = ~true & (drawn != positive[:, None, None]) & known[:, None, None]
    at = fits.long().argmax(2, keepdim=True)
    return torch.where(fits.any(2), drawn.gather(2, at).squeeze(2), out)


def check_category(spec: GraphSpec, relation: str, category: str | None) -> None:
    """Raise unless a relation leads from the candidates to their categories.

    Raises:
        GraphRecError: For none, and one that leaves another type.
    """
    expected = "a relation from the candidates to their categories"
    if category is None:
        raise GraphRecError("set_ranking.category", expected, "none", "category: NAME")
    candidates = spec.relations[spec.relation_index(relation)].target
    found = spec.relations[spec.relation_index(category)]
    if found.source != candidates or not found.inverse:
        raise GraphRecError("set_ranking.category", expected, repr(category))

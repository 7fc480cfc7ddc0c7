"""Scores of a model with a term from what the graph says of the items after each history."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from graphrec_pt.evaluation.scorer import Factorised
from graphrec_pt.graph.graph import Graph
from graphrec_pt.kernels.transposed import owners
from graphrec_pt.models.evidence_head import EvidenceHead
from graphrec_pt.objectives.evidence import EvidenceTerm
from graphrec_pt.tokens.tokens import Tokens


@dataclass(frozen=True, eq=False)
class EvidenceScorer:
    """Inner products, and ``b(u, v)`` of the items that evidence speaks for.

    Args:
        plain: The inner products.
        term: Which links are followed.
        head: What was learned of them.
        known: The graph whose links are followed: the one that was trained on, or one that knows
            more.
        tokens_of: From sources to their histories, one sequence each.
    """

    plain: Factorised
    term: EvidenceTerm
    head: EvidenceHead
    known: Graph
    tokens_of: Callable[[Tensor], Tokens]

    def scores(self, nodes: Tensor) -> Tensor:
        """Return the scores of the whole catalogue: ``[B, V]``."""
        scores = self.plain.scores(nodes)
        tokens = self.tokens_of(nodes)
        some = (tokens.lengths() > 0).nonzero().squeeze(1)
        last = tokens.ptr[1:][some] - 1
        found = self.term.at(self.known, tokens, last, torch.full_like(last, -1), own=False)
        row = some[owners(found.ptr, len(found.item))].to(scores.device)
        with torch.no_grad():
            value = self.head(found.value.to(scores.device))
        place = row, found.item.to(scores.device)
        return scores.index_put(place, value.to(scores.dtype), accumulate=True)

"""Scores of a model with a term from what the graph says of the items after each history."""

from dataclasses import dataclass

import torch
from torch import Tensor

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.evaluation.scorer import Factorised
from graphrec_pt.kernels.torch.segments import ranges


@dataclass(frozen=True, eq=False)
class EvidenceScorer:
    """Inner products, and ``b(u, v)`` of the items that evidence speaks for.

    Args:
        plain: The inner products of Q sources.
        ptr: int64 ``[Q + 1]``, pairs of each source.
        item: int64 ``[N]`` in ``[0, V)``, different ones for each source.
        term: Floats ``[N]``, what is added to their scores.

    Raises:
        GraphRecError: For pointers and pairs that do not fit.
    """

    plain: Factorised
    ptr: Tensor
    item: Tensor
    term: Tensor

    def __post_init__(self) -> None:
        if len(self.ptr) != len(self.plain.nodes) + 1 or not (
            int(self.ptr[-1]) == len(self.item) == len(self.term)
        ):
            got = [list(each.shape) for each in (self.ptr, self.item, self.term)]
            expected = f"ptr [{len(self.plain.nodes) + 1}], item [N] and term [N]"
            raise GraphRecError("EvidenceScorer", expected, got)

    def scores(self, nodes: Tensor) -> Tensor:
        """Return the scores of the whole catalogue: ``[B, V]``."""
        scores = self.plain.scores(nodes)
        at = torch.searchsorted(self.plain.nodes, nodes)
        pairs, row = ranges(self.ptr[at], self.ptr[at + 1] - self.ptr[at])
        place = row.to(scores.device), self.item[pairs].to(scores.device)
        term = self.term[pairs.to(self.term.device)].to(scores)
        return scores.index_put_(place, term, accumulate=True)

"""Running weights of each node's edges: what a weighted choice searches."""

from importlib import import_module

import torch
from torch import Tensor

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.core.memo import Memo
from graphrec_pt.kernels.csr import SegmentedCSR

_sums: Memo[Tensor] = Memo()  # of the weights


def cumulative_weight(csr: SegmentedCSR, who: str) -> Tensor:
    """Return the weight of each node's edges up to and including each edge.

    Float64 sums in edge order that begin anew at every node, made by one loop on the CPU whatever
    body asks, so that all bodies search the same bits. Built once and kept as long as `csr.weight`.

    Args:
        csr: The graph.
        who: Who needs it, for errors.

    Returns:
        float64 ``[E]``.

    Raises:
        GraphRecError: When the graph has no weights, or one is negative, infinite or NaN.
    """
    weight = csr.weight
    if weight is None:
        raise GraphRecError(who, "a graph with weights for weighted=True", "none")

    def made() -> Tensor:
        wrong = ~((weight >= 0) & (weight < torch.inf))
        if bool(wrong.any()):
            i = int(wrong.nonzero()[0])
            got = f"{float(weight[i])} at edge position {i}"
            hint = "weighted=False, or `where: WEIGHT >= 0` in the card's edges and a new graph"
            raise GraphRecError(who, "weights >= 0 and finite", got, hint)
        body = import_module("graphrec_pt.kernels.numba.cumulative")
        sums: Tensor = body.cumulative_weight(csr)
        return sums.to(weight.device)

    return _sums(weight, None, made, given=(csr.segment,))

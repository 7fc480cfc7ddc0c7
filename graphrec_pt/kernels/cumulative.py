"""Running weights of each node's edges: what a weighted choice searches."""

from importlib import import_module

import torch
from torch import Tensor
from torch.utils.weak import WeakIdKeyDictionary

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.kernels.csr import SegmentedCSR

_kept: WeakIdKeyDictionary = WeakIdKeyDictionary()


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
    if csr.weight is None:
        raise GraphRecError(who, "a graph with weights for weighted=True", "none")
    found = _kept.get(csr.weight)  # type: ignore[no-untyped-call]
    if found is None or found[0] is not csr.segment:
        wrong = ~((csr.weight >= 0) & (csr.weight < torch.inf))
        if bool(wrong.any()):
            i = int(wrong.nonzero()[0])
            got = f"{float(csr.weight[i])} at edge position {i}"
            hint = "weighted=False, or `where: WEIGHT >= 0` in the card's edges and a new graph"
            raise GraphRecError(who, "weights >= 0 and finite", got, hint)
        sums = import_module("graphrec_pt.kernels.numba.cumulative").cumulative_weight(csr)
        found = _kept[csr.weight] = (csr.segment, sums.to(csr.weight.device))
    cumulative: Tensor = found[1]
    return cumulative

"""Cached arrays derived from those of a graph: sorted targets, running weights.

Each costs one pass or sort on first use, and memory of ``[E]`` for as long as the graph lives.
"""

from importlib import import_module

import torch
from torch import Tensor

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.core.memo import Memo
from graphrec_pt.kernels.csr import SegmentedCSR, check_edges
from graphrec_pt.kernels.dispatch import body

_sums: Memo[Tensor] = Memo()  # of the weights


def cumulative_weight(csr: SegmentedCSR, who: str) -> Tensor:
    """Return the weight of each node's edges up to and including each edge.

    Float64 sums in edge order that begin anew at every node. One loop on the CPU computes them for
    all bodies, so that these search the same bits. Built once and kept as long as `csr.weight`.

    Args:
        csr: The graph.
        who: The caller, named in errors.

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
        check_edges(who, csr)
        compiled = import_module("graphrec_pt.kernels.numba.derived")
        sums: Tensor = compiled.cumulative_weight(csr)
        return sums.to(weight.device)

    return _sums(weight, None, made, given=(csr.segment,))


# Both of the indices; None stands for the indices themselves, which a value must not hold.
_targets: Memo[Tensor | None] = Memo()
_orders: Memo[Tensor] = Memo()


def sorted_targets(csr: SegmentedCSR) -> Tensor:
    """Return the targets of every segment in ascending order.

    Args:
        csr: The graph.

    Returns:
        int32 or int64 ``[E]`` like `csr.indices`; `csr.indices` itself when it already ascends.
    """
    targets = _targets(csr.indices, None, lambda: _sort(csr), given=(csr.segment,))
    return csr.indices if targets is None else targets


def target_order(csr: SegmentedCSR) -> Tensor:
    """Return the edge at each place of :func:`sorted_targets`.

    Args:
        csr: The graph.

    Returns:
        int64 ``[E]``: ``sorted_targets(csr) == csr.indices[target_order(csr)]``; parallel edges
        keep their order.
    """
    return _orders(csr.indices, None, lambda: _order(csr), given=(csr.segment,))


def _order(csr: SegmentedCSR) -> Tensor:
    check_edges("sorted targets", csr)
    # On a GPU the library's radix sort is the fast one, so there are two bodies.
    permutation: Tensor = body("derived.target_order", csr.indices)(csr)
    return permutation


def _sort(csr: SegmentedCSR) -> Tensor | None:
    steps_down = csr.indices[1:] < csr.indices[:-1]
    inner = csr.segment[1:-1]
    starts = inner[(inner > 0) & (inner < csr.num_edges)]
    steps_down[starts - 1] = False  # a new segment may start lower
    return csr.indices[target_order(csr)] if bool(steps_down.any()) else None


def torch_target_order(csr: SegmentedCSR) -> Tensor:
    """Return edges by (segment, target); see :func:`graphrec_pt.kernels.derived`."""
    segments = torch.arange(csr.segment.shape[0] - 1, device=csr.segment.device)
    owner = segments.repeat_interleave(csr.segment.diff(), output_size=csr.num_edges)  # [E]
    by_target = torch.sort(csr.indices, stable=True).indices
    return by_target[torch.sort(owner[by_target], stable=True).indices]

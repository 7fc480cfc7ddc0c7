"""Arrays derived from those of a graph, made once and kept: sorted targets, running weights."""

from collections.abc import Callable
from importlib import import_module

import torch
from torch import Tensor
from torch.utils.weak import WeakIdKeyDictionary

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.kernels.csr import SegmentedCSR, check_edges
from graphrec_pt.kernels.dispatch import chosen_body

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
            raise GraphRecError(
                who, "weights >= 0 and finite", f"{float(csr.weight[i])} at edge position {i}"
            )
        check_edges(who, csr)
        sums = import_module("graphrec_pt.kernels.numba.derived").cumulative_weight(csr)
        found = _kept[csr.weight] = (csr.segment, sums.to(csr.weight.device))
    cumulative: Tensor = found[1]
    return cumulative


# indices → (segment, companion); None stands for the indices themselves, so that no key is
# kept alive by its own value.
_Kept = WeakIdKeyDictionary
_targets: _Kept = WeakIdKeyDictionary()
_orders: _Kept = WeakIdKeyDictionary()


def sorted_targets(csr: SegmentedCSR) -> Tensor:
    """Return the targets of every segment in ascending order.

    Args:
        csr: The graph.

    Returns:
        int32 or int64 ``[E]`` like `csr.indices`; `csr.indices` itself when it already ascends.
    """
    found = _keep(_targets, csr, _sort)
    return csr.indices if found is None else found


def target_order(csr: SegmentedCSR) -> Tensor:
    """Return which edge stands at each place of :func:`sorted_targets`.

    Args:
        csr: The graph.

    Returns:
        int64 ``[E]``: ``sorted_targets(csr) == csr.indices[target_order(csr)]``; parallel edges
        keep their order.
    """
    found = _keep(_orders, csr, _order)
    assert found is not None
    return found


def _order(csr: SegmentedCSR) -> Tensor:
    check_edges("sorted targets", csr)
    # On a GPU the library's radix sort is the fast one, so there are two bodies.
    name = "numba" if chosen_body(csr.indices) == "numba" else "torch"
    found: Tensor = import_module(f"graphrec_pt.kernels.{name}.derived").target_order(csr)
    return found


def _sort(csr: SegmentedCSR) -> Tensor | None:
    steps_down = csr.indices[1:] < csr.indices[:-1]
    inner = csr.segment[1:-1]
    starts = inner[(inner > 0) & (inner < csr.num_edges)]
    steps_down[starts - 1] = False  # a new segment may start lower
    return csr.indices[target_order(csr)] if bool(steps_down.any()) else None


def _keep(
    kept: _Kept, csr: SegmentedCSR, build: Callable[[SegmentedCSR], Tensor | None]
) -> Tensor | None:
    found = kept.get(csr.indices)  # type: ignore[no-untyped-call]
    if found is None or found[0] is not csr.segment:
        found = kept[csr.indices] = (csr.segment, build(csr))
    companion: Tensor | None = found[1]
    return companion

"""Companion arrays of a CSR, sorted by target inside each segment: what membership searches.

Segments ascend by time, so a binary search for a target needs an order of its own. Both
arrays depend on the graph alone; they are built once and live as long as its `indices`.
"""

from importlib import import_module

from torch import Tensor

from graphrec_pt.core.memo import Memo
from graphrec_pt.kernels.csr import SegmentedCSR
from graphrec_pt.kernels.dispatch import chosen_body

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
    found = _targets(csr.indices, None, lambda: _sort(csr), given=(csr.segment,))
    return csr.indices if found is None else found


def target_order(csr: SegmentedCSR) -> Tensor:
    """Return which edge stands at each place of :func:`sorted_targets`.

    Args:
        csr: The graph.

    Returns:
        int64 ``[E]``: ``sorted_targets(csr) == csr.indices[target_order(csr)]``; parallel edges
        keep their order.
    """
    return _orders(csr.indices, None, lambda: _order(csr), given=(csr.segment,))


def _order(csr: SegmentedCSR) -> Tensor:
    # On a GPU the library's radix sort is the fast one, so there are two bodies.
    name = "numba" if chosen_body(csr.indices) == "numba" else "torch"
    found: Tensor = import_module(f"graphrec_pt.kernels.{name}.sorted_targets").target_order(csr)
    return found


def _sort(csr: SegmentedCSR) -> Tensor | None:
    steps_down = csr.indices[1:] < csr.indices[:-1]
    inner = csr.segment[1:-1]
    starts = inner[(inner > 0) & (inner < csr.num_edges)]
    steps_down[starts - 1] = False  # a new segment may start lower
    return csr.indices[target_order(csr)] if bool(steps_down.any()) else None

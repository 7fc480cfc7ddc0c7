"""Companion arrays of a CSR, sorted by target inside each segment: what membership searches.

Segments ascend by time, so a binary search for a target needs an order of its own. Both
arrays depend on the graph alone; they are built once and live as long as its `indices`.
"""

from collections.abc import Callable
from importlib import import_module

from torch import Tensor
from torch.utils.weak import WeakIdKeyDictionary

from graphrec_pt.kernels.csr import SegmentedCSR
from graphrec_pt.kernels.dispatch import chosen_body

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


def _keep(
    kept: _Kept, csr: SegmentedCSR, build: Callable[[SegmentedCSR], Tensor | None]
) -> Tensor | None:
    found = kept.get(csr.indices)  # type: ignore[no-untyped-call]
    if found is None or found[0] is not csr.segment:
        found = kept[csr.indices] = (csr.segment, build(csr))
    companion: Tensor | None = found[1]
    return companion

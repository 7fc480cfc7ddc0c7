"""What compiled loops need of a segmented CSR: arrays, bounds, binary search, prefetching."""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
from torch import Tensor

from graphrec_pt.kernels.csr import SegmentedCSR
from graphrec_pt.kernels.numba.compile import inlined

Ints = npt.NDArray[Any]


class Arrays(NamedTuple):
    """The structure of a :class:`SegmentedCSR` as numpy arrays."""

    offset: Ints
    slots: Ints
    base: Ints
    segment: Ints
    indices: Ints


def arrays(csr: SegmentedCSR) -> Arrays:
    """Return the structure as compiled functions take it, without a copy where contiguous."""
    return Arrays(*(array(getattr(csr, name)) for name in Arrays._fields))


def array(tensor: Tensor) -> Any:
    """Return a C-contiguous numpy view (a copy only when the tensor has strides)."""
    return tensor.detach().contiguous().numpy()


@inlined
def node_segments(csr: Any, node: Any) -> Any:
    """Return the first segment of a node and how many it has."""
    kind = 0
    while node >= csr.offset[kind + 1]:
        kind += 1
    return csr.base[kind] + (node - csr.offset[kind]) * csr.slots[kind], csr.slots[kind]


@inlined
def relation_of(
    csr: Any, table: Any, node: Any, first: Any, place: Any, slot: Any, edge: Any
) -> Any:
    """Return the relation of an edge that leaves a node.

    Args:
        csr: The graph.
        table: ``[S, most slots]``, the relation of each slot of a type.
        node: The source.
        first: Its first segment.
        place: A segment of it that does not come after the edge.
        slot: The slot of the edge where it is known, else −1.
        edge: Position of the edge.
    """
    kind = 0
    while node >= csr.offset[kind + 1]:
        kind += 1
    if slot < 0:
        while csr.segment[place + 1] <= edge:
            place += 1
    return table[kind, place - first]


@inlined
def node_bounds(csr: Any, node: Any) -> Any:
    """Return where all edges of a node start and end."""
    first, count = node_segments(csr, node)
    return csr.segment[first], csr.segment[first + count]


@inlined
def lower_bound(ascending: Any, start: Any, end: Any, value: Any) -> Any:
    """Return the first place in ``[start, end)`` that is not below `value`, else `end`."""
    low, count = np.int64(start), np.int64(end - start)
    while count > 0:
        half = count >> 1
        if ascending[low + half] < value:
            low += half + 1
            count -= half + 1
        else:
            count = half
    return low


@inlined
def lower_bounds(ascending: Any, at: Any, left: Any, value: Any, many: Any) -> None:
    """Move each ``at[i]`` to its lower bound in ``[at[i], at[i] + left[i])``, all in step.

    One loop reads a probe of every search, so that the cache misses overlap; nothing branches on
    what it reads. `left` is used up.
    """
    longest, last = np.int64(0), ascending.shape[0] - 1
    for i in range(many):
        longest = max(longest, left[i])
    while longest > 0:
        for i in range(many):
            half = left[i] >> 1
            below = (ascending[min(at[i] + half, last)] < value[i]) & (left[i] > 0)
            at[i] += (half + 1) * below
            left[i] = half - (below & ((left[i] & 1) == 0))
        longest >>= 1


def _prefetch(_typing: Any, array: Any, place: Any) -> Any:
    """Ask for the cache line of ``array[place]``; a wrong place is harmless, nothing is read."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kind = signature.args[0]
        data = context.make_array(kind)(context, builder, arguments[0]).data
        byte = ir.IntType(8).as_pointer()
        word = ir.IntType(32)
        address = builder.bitcast(builder.gep(data, [arguments[1]]), byte)
        shape = ir.FunctionType(ir.VoidType(), [byte, word, word, word])
        insert: Any = cgutils.get_or_insert_function
        function = insert(builder.module, shape, "llvm.prefetch.p0")
        read, keep_close, data_cache = word(0), word(3), word(1)
        builder.call(function, [address, read, keep_close, data_cache])
        return context.get_dummy_value()

    return types.void(array, place), generate


prefetch: Any = intrinsic(_prefetch)

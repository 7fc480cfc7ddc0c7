"""The arrays of a segmented CSR, which every kernel reads, and checks of arguments against them."""

from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor
from torch.utils.weak import WeakIdKeyDictionary

from graphrec_pt.core.errors import GraphRecError

NO_TIME = torch.iinfo(torch.int64).min
"""`time` of an edge that has none: a static fact, earlier than everything."""


@dataclass(frozen=True, slots=True)
class SegmentedCSR:
    """Adjacency of a typed graph with one index array for every kind of walk.

    Node type *s* owns the global ids ``[offset[s], offset[s + 1])`` and has ``slots[s]`` relation
    slots, one per relation that leaves it. The segments of node *u* of type *s* start at
    ``b = base[s] + (u - offset[s]) * slots[s]``: its neighbours under slot *k* are
    ``indices[segment[b + k] : segment[b + k + 1]]``, all of them
    ``indices[segment[b] : segment[b + slots[s]]]``. Inside a segment edges ascend by
    time; edges of equal time are in random order, those without a time ascend by (target, id).

    Args:
        offset: int64 ``[S+1]``, first global id of each node type.
        slots: int64 ``[S]``, relations leaving each node type.
        base: int64 ``[S+1]``, first segment of each node type.
        segment: int64 ``[G+1]``, where each segment starts; ``G = Σ_s n_s · slots[s]``.
        indices: int32 or int64 ``[E]``, global ids of the targets.
        time: int64 ``[E]`` or None; :data:`NO_TIME` for edges without one.
        weight: float32 ``[E]`` or None; 1 for edges without one.
        edge: int32 or int64 ``[E]`` or None, the id that an edge and its inverse share.
    """

    offset: Tensor
    slots: Tensor
    base: Tensor
    segment: Tensor
    indices: Tensor
    time: Tensor | None = None
    weight: Tensor | None = None
    edge: Tensor | None = None

    @property
    def num_nodes(self) -> int:
        """N."""
        return int(self.offset[-1])

    @property
    def num_edges(self) -> int:
        """E, stored edges; an edge and its inverse count as two."""
        return self.indices.shape[0]

    def node_type(self, nodes: Tensor) -> Tensor:
        """Return the node type of each global id: int64, shape of `nodes`."""
        return torch.bucketize(nodes.contiguous(), self.offset[1:].contiguous(), right=True)

    def first_segment(self, nodes: Tensor) -> Tensor:
        """Return the first segment of each node: int64, shape of `nodes`."""
        kind = self.node_type(nodes)
        return self.base[kind] + (nodes - self.offset[kind]) * self.slots[kind]

    def bounds(self, nodes: Tensor) -> tuple[Tensor, Tensor]:
        """Return where all edges of each node start and end: two int64, shape of `nodes`."""
        first = self.first_segment(nodes)
        return self.segment[first], self.segment[first + self.slots[self.node_type(nodes)]]

    def to(self, device: torch.device | str) -> "SegmentedCSR":
        """Return the same arrays on another device."""
        arrays: dict[str, Any] = {field.name: getattr(self, field.name) for field in fields(self)}
        for name, array in arrays.items():
            arrays[name] = None if array is None else array.to(device)
        return SegmentedCSR(**arrays)


PARALLEL = 1 << 15
"""Elements from which torch works with several threads."""
_INTEGERS = (torch.int32, torch.int64)
_sound: WeakIdKeyDictionary = WeakIdKeyDictionary()  # indices → the segments checked with them


def check_nodes(
    who: str, csr: SegmentedCSR, nodes: Tensor, name: str, *, length: int | None = None
) -> None:
    """Raise unless `nodes` is one row of global ids of the graph, `length` long if given."""
    if nodes.dtype not in _INTEGERS or nodes.ndim != 1:
        raise GraphRecError(
            who, f"{name} as int32 or int64 [K]", f"{nodes.dtype} {list(nodes.shape)}"
        )
    if length is not None and len(nodes) != length:
        raise GraphRecError(who, f"{length} {name} ids", len(nodes))
    if len(nodes):
        low, high = _ends(nodes)
        if low < 0 or high >= csr.num_nodes:
            wrong = low if low < 0 else high
            raise GraphRecError(who, f"{name} ids in [0, {csr.num_nodes})", wrong)


def _ends(nodes: Tensor) -> tuple[int, int]:
    """Return the lowest and the highest id, on one thread of the CPU.

    Threads of torch go on spinning for a while after their work, and would take the cores from
    the kernel that follows.
    """
    if nodes.device.type == "cpu" and len(nodes) >= PARALLEL:
        values = nodes.numpy()
        return int(values.min()), int(values.max())
    low, high = torch.aminmax(nodes)
    return int(low), int(high)


def check_edges(who: str, csr: SegmentedCSR) -> None:
    """Raise unless every segment lies in the index array and every target in the graph.

    For kernels that write where an edge points. One pass, once while the arrays live.
    """
    if _sound.get(csr.indices) is csr.segment:  # type: ignore[no-untyped-call]
        return
    segment, count = csr.segment, int(csr.base[-1])
    ascends = len(segment) == count + 1 and not bool((segment[1:] < segment[:-1]).any())
    if not ascends or int(segment[0]) < 0 or int(segment[-1]) > csr.num_edges:
        expected = f"{count} segments ascending in [0, {csr.num_edges}]"
        raise GraphRecError(who, expected, "others", "building the graph again")
    low, high = _ends(csr.indices) if csr.num_edges else (0, -1)
    if low < 0 or high >= csr.num_nodes:
        wrong = low if low < 0 else high
        expected = f"targets of edges in [0, {csr.num_nodes})"
        raise GraphRecError(who, expected, wrong, "building the graph again")
    _sound[csr.indices] = csr.segment


def check_slot(
    who: str,
    csr: SegmentedCSR,
    source: Tensor,
    slot: Tensor | int,
    *,
    any_slot: bool = False,
) -> Tensor:
    """Return one slot per source after checking that each source has it: int64 ``[K]``."""
    if isinstance(slot, Tensor) and slot.ndim and slot.shape != source.shape:
        raise GraphRecError(who, f"one slot or {len(source)}", list(slot.shape))
    slots = torch.as_tensor(slot, dtype=torch.int64, device=source.device).expand(source.shape)
    everyone = isinstance(slot, int) and 0 <= slot < int(csr.slots.min())
    if len(source) and not everyone:
        count = csr.slots[csr.node_type(source)]
        wrong = (slots >= count) | (slots < (-1 if any_slot else 0))
        if bool(wrong.any()):
            i = int(wrong.nonzero()[0])
            raise GraphRecError(
                who,
                f"a slot in [0, {int(count[i])}) for node {int(source[i])}",
                int(slots[i]),
                "-1 for every relation" if any_slot else "",
            )
    return slots


def check_positive(who: str, name: str, value: int) -> None:
    """Raise unless `value` is at least 1."""
    if value < 1:
        raise GraphRecError(who, f"{name} >= 1", value)


def check_exclude(who: str, csr: SegmentedCSR, exclude: Tensor | None, rows: int) -> Tensor:
    """Return one excluded edge id per row, −1 where there is none: int64 ``[rows]``."""
    if exclude is None:
        return torch.full((rows,), -1, dtype=torch.int64, device=csr.indices.device)
    if csr.edge is None:
        raise GraphRecError(who, "a graph with edge ids for exclude", "none")
    if exclude.dtype not in _INTEGERS or exclude.shape != (rows,):
        got = f"{exclude.dtype} {list(exclude.shape)}"
        raise GraphRecError(who, f"exclude as integers [{rows}]", got)
    return exclude.long().contiguous()

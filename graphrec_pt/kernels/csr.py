"""The arrays of a segmented CSR: what every kernel reads."""

from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor

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
    time; those at one time stand in an order of chance, those without one ascend by (target, id).

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

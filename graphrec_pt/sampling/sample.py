"""The results of samplers: paths, and packed subgraphs."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, TypeVar

import torch
from torch import Tensor

from graphrec_pt.core.errors import GraphRecError

_INT, _FLOAT = torch.int64, torch.float32


@dataclass(frozen=True, eq=False, slots=True)
class Paths:
    """Walks or path instances: P paths of at most L hops; paths of one root are adjacent.

    Args:
        nodes: int64 ``[P, L+1]`` global ids, −1 past a dead end.
        relations: int64 ``[P, L]`` relation indices of the schema; −1 past a dead end and where a
            restarting walk stands at its root again.
        length: int64 ``[P]``, hops of each path.
        root: int64 ``[P]``, the row of the batch that a path belongs to; ascending.
        score: float32 ``[P]``, the score by which the sampler ranked; 0 where it does not rank.
        position: int64 ``[P, L]``, where each edge stands in ``graph.csr`` (its time, weight and
            edge id are there); −1 where `relations` is.
        size: B, the number of roots of the batch; some may have no path.

    Raises:
        GraphRecError: When the arrays do not fit one another.
    """

    nodes: Tensor
    relations: Tensor
    length: Tensor
    root: Tensor
    score: Tensor
    position: Tensor
    size: int

    def __post_init__(self) -> None:
        paths, width = (*self.nodes.shape, 0, 0)[:2]
        hops = (paths, max(width - 1, 0))
        shapes: dict[str, tuple[int, ...]] = dict.fromkeys(("length", "root", "score"), (paths,))
        shapes |= {"nodes": (paths, max(width, 1)), "relations": hops, "position": hops}
        _check(self, shapes)
        falls = bool((self.root[1:] < self.root[:-1]).any())
        if paths and (falls or not 0 <= int(self.root[0]) <= int(self.root[-1]) < self.size):
            raise GraphRecError("Paths", f"root ascending in [0, {self.size})", self.root.tolist())

    def __len__(self) -> int:
        """P."""
        return len(self.nodes)

    def to(self, device: torch.device | str) -> "Paths":
        """Return the same sample on another device."""
        return _moved(self, device)

    def select(self, row: int) -> "Paths":
        """Return the sample of one root, as if it had been sampled alone."""
        bounds = torch.tensor([row, row + 1], device=self.root.device)
        first, last = torch.searchsorted(self.root, bounds).tolist()
        kept = {name: value[first:last] for name, value in _tensors(self).items()}
        kept["root"] = torch.zeros_like(kept["root"])
        return Paths(**kept, size=1)

    def triples(self) -> Tensor:
        """Return every edge used as (source, relation, target): int64 ``[n, 3]``."""
        path, hop = (self.relations >= 0).nonzero(as_tuple=True)
        columns = self.nodes[path, hop], self.relations[path, hop], self.nodes[path, hop + 1]
        return torch.stack(columns, dim=1)


@dataclass(frozen=True, eq=False, slots=True)
class Subgraphs:
    """Sampled neighbourhoods as packed sequences of nodes: T tokens of B roots.

    The root (or roots, for pairs and sets) of a sequence come first.

    Args:
        node: int64 ``[T]`` global ids.
        ptr: int64 ``[B+1]``, where each sequence starts.
        parent: int64 ``[T]``, index of the predecessor inside the sequence; −1 for a root, and
            for a node whose predecessor was not kept.
        relation: int64 ``[T]``, relation index of the edge from the predecessor; −1 without one.
        hop: int64 ``[T]``, 0 for roots; −1 for a node that nothing in the sequence leads to.
        slot: int64 ``[T]``, which relation, path or metapath a node belongs to, as the sampler
            numbers them from 1; 0 for roots and what comes with them.
        score: float32 ``[T]``, the score by which the sampler ranked; 0 where it does not rank.
        position: int64 ``[T]``, where the edge from the predecessor stands in ``graph.csr``.
        edges: int64 ``[M, 3]``, edges among the nodes of each sequence as (source, relation,
            target) with tokens counted through the whole batch; None if the sampler returns none.

    Raises:
        GraphRecError: When the arrays do not fit one another.
    """

    node: Tensor
    ptr: Tensor
    parent: Tensor
    relation: Tensor
    hop: Tensor
    slot: Tensor
    score: Tensor
    position: Tensor
    edges: Tensor | None = None

    def __post_init__(self) -> None:
        tokens = self.node.numel()
        shapes: dict[str, tuple[int, ...]] = {
            f.name: (tokens,) for f in fields(self) if f.name not in ("ptr", "edges")
        }
        shapes["ptr"] = (max(self.ptr.numel(), 1),)
        if self.edges is not None:
            shapes["edges"] = (len(self.edges), 3)
        _check(self, shapes)
        ends = [int(self.ptr[0]), int(self.ptr[-1])]
        if ends != [0, tokens] or bool((self.ptr[1:] < self.ptr[:-1]).any()):
            raise GraphRecError("Subgraphs", f"ptr ascending from 0 to {tokens}", ends)

    def __len__(self) -> int:
        """B."""
        return len(self.ptr) - 1

    def to(self, device: torch.device | str) -> "Subgraphs":
        """Return the same sample on another device."""
        return _moved(self, device)

    def select(self, row: int) -> "Subgraphs":
        """Return the sequence of one root, as if it had been sampled alone."""
        first, last = int(self.ptr[row]), int(self.ptr[row + 1])
        kept = {n: v[first:last] for n, v in _tensors(self).items() if n not in ("ptr", "edges")}
        edges = self.edges
        if edges is not None:
            inside = (edges[:, 0] >= first) & (edges[:, 0] < last)
            edges = edges[inside] - edges.new_tensor([first, 0, first])
        return Subgraphs(**kept, ptr=self.ptr.new_tensor([0, last - first]), edges=edges)

    def row(self) -> Tensor:
        """Return the sequence of every token: int64 ``[T]``."""
        rows = torch.arange(len(self), device=self.ptr.device)
        return rows.repeat_interleave(self.ptr.diff(), output_size=len(self.node))

    def triples(self) -> Tensor:
        """Return every edge from a predecessor as (source, relation, target): int64 ``[n, 3]``."""
        token = (self.relation >= 0).nonzero().squeeze(1)
        before = self.ptr[self.row()[token]] + self.parent[token]
        return torch.stack([self.node[before], self.relation[token], self.node[token]], dim=1)


Sample = Paths | Subgraphs
S = TypeVar("S", Paths, Subgraphs)


def same(a: Sample, b: Sample) -> bool:
    """Return whether two samples are equal to the bit, types included."""
    mine, other = _tensors(a), _tensors(b)
    if type(a) is not type(b) or mine.keys() != other.keys():
        return False
    if isinstance(a, Paths) and isinstance(b, Paths) and a.size != b.size:
        return False
    return all(
        mine[name].dtype == other[name].dtype and torch.equal(_bits(mine[name]), _bits(other[name]))
        for name in mine
    )


def concatenate(samples: Sequence[S]) -> S:
    """Return the sample of all roots in a row.

    Raises:
        GraphRecError: For no samples, for paths of different widths, and for subgraphs of which
            only some have edges.
    """
    if not samples:
        raise GraphRecError("concatenate", "at least one sample", "none")
    join = _paths_in_a_row if isinstance(samples[0], Paths) else _subgraphs_in_a_row
    joined: S = join(samples)
    return joined


def _paths_in_a_row(samples: Sequence[Any]) -> Any:
    widths = {part.nodes.shape[1] for part in samples}
    if len(widths) > 1:
        raise GraphRecError("concatenate", "paths of one width", sorted(widths))
    joined = _joined(samples)
    before, shifted = 0, []
    for part in samples:
        shifted.append(part.root + before)
        before += part.size
    return Paths(**{**joined, "root": torch.cat(shifted)}, size=before)


def _subgraphs_in_a_row(samples: Sequence[Any]) -> Any:
    if len({part.edges is None for part in samples}) > 1:
        raise GraphRecError("concatenate", "edges in every sample or in none", "some with edges")
    joined = _joined(samples)
    before, ptr, edges = 0, [samples[0].ptr[:1]], []
    for part in samples:
        ptr.append(part.ptr[1:] + before)
        if part.edges is not None:
            edges.append(part.edges + part.edges.new_tensor([before, 0, before]))
        before += len(part.node)
    return Subgraphs(
        **{**joined, "ptr": torch.cat(ptr), "edges": torch.cat(edges) if edges else None}
    )


def _moved(sample: S, device: torch.device | str) -> S:
    changes: dict[str, Any] = {n: value.to(device) for n, value in _tensors(sample).items()}
    return replace(sample, **changes)


def _joined(samples: Sequence[Any]) -> dict[str, Any]:
    columns = [_tensors(part) for part in samples]
    return {name: torch.cat([column[name] for column in columns]) for name in columns[0]}


def _tensors(sample: Any) -> dict[str, Tensor]:
    values = {field.name: getattr(sample, field.name) for field in fields(sample)}
    return {name: value for name, value in values.items() if isinstance(value, Tensor)}


def _bits(values: Tensor) -> Tensor:
    return values.contiguous().view(torch.int32) if values.dtype == _FLOAT else values


def _check(sample: Any, shapes: dict[str, tuple[int, ...]]) -> None:
    who = type(sample).__name__
    for name, value in _tensors(sample).items():
        dtype = _FLOAT if name == "score" else _INT
        if value.dtype != dtype or tuple(value.shape) != shapes[name]:
            kind = str(dtype).removeprefix("torch.")
            got = f"{value.dtype} {list(value.shape)}"
            raise GraphRecError(who, f"{name} as {kind} {list(shapes[name])}", got)

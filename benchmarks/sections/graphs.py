"""Power-law graphs: a configuration model, in parallel, up to hundreds of millions of edges."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from numba import njit, prange, uint64

from graphrec_pt.kernels.csr import SegmentedCSR

Ints = npt.NDArray[Any]


@njit(cache=True)
def _mix(value: Any) -> Any:
    """SplitMix64: 64 well-mixed bits of a number."""
    value = uint64(value) * uint64(0x9E3779B97F4A7C15)
    value = (value ^ (value >> uint64(30))) * uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> uint64(27))) * uint64(0x94D049BB133111EB)
    return value ^ (value >> uint64(31))


@njit(parallel=True, cache=True)
def _connect(ptr: Any, owner: Any, half: Any, indices: Any) -> None:
    """Give every stub the owner of a random stub, of the other half if `half` is not 0."""
    edges = ptr[-1]
    for u in prange(ptr.shape[0] - 1):
        low, high = 0, edges
        if half > 0:
            low, high = (ptr[half], edges) if u < half else (0, ptr[half])
        for e in range(ptr[u], ptr[u + 1]):
            indices[e] = owner[low + (_mix(e) >> uint64(1)) % uint64(high - low)]


@njit(parallel=True, cache=True)
def _sort_segments(segment: Any, indices: Any) -> None:
    for g in prange(segment.shape[0] - 1):
        indices[segment[g] : segment[g + 1]].sort()


def power_law(
    nodes: int, edges: int, *, relations: int = 1, half: int = 0, apart: bool = False
) -> SegmentedCSR:
    """Return a graph whose degrees fall with exponent 2.1.

    Args:
        nodes: N.
        edges: About how many edges.
        relations: Slots of every node; its edges are dealt evenly among them.
        half: Nodes below are users whose edges lead to items and the other way round; 0 for a
            graph of one type.
        apart: How often a node is a target has nothing to do with how many edges leave it. Then
            walks stay in the lists of popular nodes, most of them short; without, a walk reads
            every edge equally often, which is as hard on caches as random gathers are.
    """
    rng = np.random.default_rng(0)
    wish = np.minimum(rng.pareto(1.1, nodes) + 1, nodes / 10)
    degree = np.maximum(relations, wish * edges / wish.sum()).astype(np.int64)
    ptr = np.concatenate([[0], np.cumsum(degree)])
    owner = np.repeat(np.arange(nodes, dtype=np.int32), degree)
    indices = np.empty(len(owner), np.int32)
    _connect(ptr, rng.permutation(nodes).astype(np.int32)[owner] if apart else owner, half, indices)
    segment = np.empty(nodes * relations + 1, np.int64)
    for slot in range(relations):
        segment[slot:-1:relations] = ptr[:-1] + degree * slot // relations
    segment[-1] = ptr[-1]
    _sort_segments(segment, indices)
    offset = [0, half, nodes] if half else [0, nodes]
    kinds = len(offset) - 1
    return SegmentedCSR(
        offset=torch.tensor(offset),
        slots=torch.full((kinds,), relations),
        base=torch.tensor(offset) * relations,
        segment=torch.from_numpy(segment),
        indices=torch.from_numpy(indices),
        weight=torch.from_numpy(rng.integers(1, 6, len(indices)).astype(np.float32)),
    )


def mapped(csr: SegmentedCSR, folder: Path) -> SegmentedCSR:
    """Return the graph with its large arrays memory-mapped from `folder`."""
    for name in ("segment", "indices"):
        np.save(folder / f"{name}.npy", getattr(csr, name).numpy())
    segment, indices = (
        torch.from_numpy(np.load(folder / f"{name}.npy", mmap_mode="c"))
        for name in ("segment", "indices")
    )
    return SegmentedCSR(csr.offset, csr.slots, csr.base, segment, indices)


@njit(parallel=True, cache=True)
def _gather(a: Any, b: Any, first: Any, second: Any, out: Any) -> None:
    size = first.shape[0] // out.shape[0]
    for chunk in prange(out.shape[0]):
        total = 0
        for i in range(chunk * size, (chunk + 1) * size):
            total += a[first[i]] + b[second[i]]
        out[chunk] = total


class Gathers:
    """A plain parallel loop of two independent random gathers: what memory alone allows.

    Args:
        csr: The graph whose `segment` and `indices` are read.
        count: Pairs of gathers in one run.
    """

    def __init__(self, csr: SegmentedCSR, count: int) -> None:
        rng = np.random.default_rng(1)
        self.arrays = csr.segment.numpy(), csr.indices.numpy()
        self.places = [rng.integers(0, len(a) - 1, count).astype(np.int32) for a in self.arrays]
        self.out = np.zeros(64, np.int64)

    def __call__(self) -> int:
        """Gather once; returns how many pairs."""
        gather: Any = _gather
        gather(*self.arrays, *self.places, self.out)
        return len(self.places[0])

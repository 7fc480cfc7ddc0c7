"""MovieLens-100K with its Freebase graph, genres and occupations as a segmented CSR."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from graphrec_pt.kernels.csr import SegmentedCSR

FOLDER = Path(__file__).parents[3] / "shared" / "data" / "movielens_100k" / "recbole_kg"
USER, ITEM, ENTITY, GENRE, OCCUPATION = range(5)
# Slots by node type, in this order.
LEAVING = {
    USER: (ITEM, OCCUPATION),
    ITEM: (USER, ENTITY, GENRE),
    ENTITY: (ITEM, ENTITY),
    GENRE: (ITEM,),
    OCCUPATION: (USER,),
}
Ints = npt.NDArray[np.int64]
Edges = dict[tuple[int, int], tuple[Ints, Ints]]  # (source type, target type) → local ids


class MovieLens(NamedTuple):
    """The graph and its ratings as global ids."""

    csr: SegmentedCSR
    user: Ints
    item: Ints


def movielens() -> MovieLens | None:
    """Read the data beside the repository; None when it is not there."""
    if not FOLDER.is_dir():
        return None
    inter = np.loadtxt(FOLDER / "ml-100k.inter", skiprows=1, usecols=(0, 1), dtype=np.int64) - 1
    user, item = inter[:, 0], inter[:, 1]
    genres, occupations, entities = _Ids(), _Ids(), _Ids()
    linked = {row[1]: int(row[0]) - 1 for row in _rows("link")}
    edges: Edges = {(USER, ITEM): (user, item)}
    pairs = [(int(row[0]) - 1, genres[g]) for row in _rows("item") for g in row[3].split()]
    edges[ITEM, GENRE] = _columns(pairs)
    edges[USER, OCCUPATION] = _columns(
        [(int(row[0]) - 1, occupations[row[3]]) for row in _rows("user")]
    )
    known: list[tuple[int, int]] = []
    other: list[tuple[int, int]] = []
    for head, _, tail in _rows("kg"):
        for a, b in ((head, tail), (tail, head)):
            if a in linked and b not in linked:
                known.append((linked[a], entities[b]))
        if head not in linked and tail not in linked:
            other.append((entities[head], entities[tail]))
    edges[ITEM, ENTITY] = _columns(known)
    edges[ENTITY, ENTITY] = _columns(other + [(b, a) for a, b in other])
    counts = [int(user.max()) + 1, int(item.max()) + 1, *map(len, (entities, genres, occupations))]
    for source, target in list(edges):
        if source != target:
            edges[target, source] = edges[source, target][::-1]
    return MovieLens(build(counts, LEAVING, edges), user, item + counts[0])


def build(counts: Sequence[int], leaving: dict[int, tuple[int, ...]], edges: Edges) -> SegmentedCSR:
    """Sort edges into segments.

    Args:
        counts: Nodes of each type.
        leaving: The target types of each type's slots.
        edges: Local ids of both ends by (source type, target type).
    """
    offset = np.concatenate([[0], np.cumsum(counts)])
    slots = np.array([len(leaving[kind]) for kind in range(len(counts))])
    base = np.concatenate([[0], np.cumsum(np.array(counts) * slots)])
    segments, targets = [], []
    for (kind, other), (source, target) in edges.items():
        segments.append(base[kind] + source * slots[kind] + leaving[kind].index(other))
        targets.append(offset[other] + target)
    segment, target = np.concatenate(segments), np.concatenate(targets)
    order = np.lexsort((target, segment))
    start = np.concatenate([[0], np.cumsum(np.bincount(segment, minlength=base[-1]))])
    tensors = (offset, slots, base, start, target[order].astype(np.int32))
    return SegmentedCSR(*(torch.from_numpy(np.ascontiguousarray(array)) for array in tensors))


class _Ids(dict[str, int]):
    """Number names as they appear."""

    def __missing__(self, name: str) -> int:
        return self.setdefault(name, len(self))


def _rows(name: str) -> list[list[str]]:
    lines = (FOLDER / f"ml-100k.{name}").read_text(encoding="utf-8").splitlines()[1:]
    return [line.split("\t") for line in lines]


def _columns(pairs: list[tuple[int, int]]) -> tuple[Ints, Ints]:
    both = np.array(pairs, dtype=np.int64).reshape(-1, 2)
    return both[:, 0], both[:, 1]

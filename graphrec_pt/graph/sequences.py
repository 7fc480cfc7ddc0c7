"""Histories as sequences of candidates in time order, and counts of their transitions."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_array, csr_array

from graphrec_pt.graph.graph import Graph

Ints = npt.NDArray[np.int64]


class Sequences(NamedTuple):
    """The time-ordered histories of one relation, laid end to end.

    Events at equal times keep their stored order, as in the history sampler.

    Args:
        source: int64 ``[E]``, counted from the first source, ascending.
        item: int64 ``[E]``, counted from the first candidate.
        age: int64 ``[E]``, number of later events of the same source; 0 for the last.
        shape: (sources, candidates).
    """

    source: Ints
    item: Ints
    age: Ints
    shape: tuple[int, int]

    def pairs(self, distance: int) -> tuple[Ints, Ints]:
        """Return the candidates of every two events of a source that many steps apart."""
        if distance >= len(self.item):
            return self.item[:0], self.item[:0]
        together = self.source[distance:] == self.source[:-distance]
        return self.item[:-distance][together], self.item[distance:][together]


def sequences(graph: Graph, relation: str) -> Sequences:
    """Read the histories of a relation."""
    definition, edges = graph.schema.relation(relation), graph.edges(relation)
    degree = graph.degree(relation).numpy()
    source = (edges.source - graph.nodes(definition.source).start).numpy()
    item = (edges.target - graph.nodes(definition.target).start).numpy()
    age = np.cumsum(degree)[source] - 1 - np.arange(len(source))
    return Sequences(source, item, age, (len(degree), graph.num_nodes(definition.target)))


def transition_counts(read: Sequences, window: int, falloff: float = 1.0) -> csr_array:
    """Return the sum of ``d^−falloff`` over all places where one candidate follows another.

    Args:
        read: The histories.
        window: Largest distance d.
        falloff: How fast weights fall with distance; 0 for not at all.

    Returns:
        float64 ``[V, V]``, row = what came first.
    """
    size = read.shape[1]
    counts: csr_array = csr_array((size, size), dtype=np.float64)
    for distance in range(1, window + 1):
        earlier, later = read.pairs(distance)
        once = np.full(len(earlier), distance**-falloff)
        counts = counts + coo_array((once, (earlier, later)), shape=(size, size)).tocsr()
    return counts


def rank_in_group(group: Ints) -> Ints:
    """Return each row's rank inside its run of equal values."""
    starts = np.flatnonzero(np.diff(group, prepend=-1))
    return np.arange(len(group)) - np.repeat(starts, np.diff(np.append(starts, len(group))))

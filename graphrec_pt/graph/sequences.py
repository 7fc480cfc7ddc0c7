"""Histories as sequences: which candidate follows which, and what came last."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from graphrec_pt.graph.graph import Graph

Ints = npt.NDArray[np.int64]


class Sequences(NamedTuple):
    """The time-ordered histories of one relation, laid end to end.

    Events at equal times keep their stored order, as in the history sampler.

    Args:
        source: int64 ``[E]``, counted from the first source, ascending.
        item: int64 ``[E]``, counted from the first candidate.
        age: int64 ``[E]``, events of the same source that come after; 0 for the last.
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
    found, edges = graph.schema.relation(relation), graph.edges(relation)
    degree = graph.degree(relation).numpy()
    source = (edges.source - graph.nodes(found.source).start).numpy()
    item = (edges.target - graph.nodes(found.target).start).numpy()
    age = np.cumsum(degree)[source] - 1 - np.arange(len(source))
    return Sequences(source, item, age, (len(degree), graph.num_nodes(found.target)))

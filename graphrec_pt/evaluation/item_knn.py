"""Item neighbours by cosine of who met them, whatever the order."""

from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
from pydantic import Field
from scipy.sparse import coo_array, csr_array

from graphrec_pt.evaluation.baseline import Linear, baseline, met, predicted_relation
from graphrec_pt.graph.graph import Graph


@baseline("item_knn")
class ItemKNN:
    """Score = sum of the cosines of a candidate with everything in the history.

    ``cos(i, j) = |U_i ∩ U_j| / (√(|U_i| |U_j|) + shrink)`` (Sarwar et al., WWW 2001).

    Args:
        k: Neighbours kept of each candidate, the nearest ones; None: all.
        shrink: Added to the denominator, so that few common users count for less.
    """

    k: Annotated[int, Field(ge=1)] | None = None
    shrink: Annotated[float, Field(ge=0)] = 0.0

    def fit(self, graph: Graph, relation: str | None = None) -> Linear:
        """Compute the cosines."""
        name = predicted_relation(graph, relation)
        bought = met(graph, name)
        common = coo_array(bought.T @ bought)
        (row, column), together = common.coords, common.data
        other = row != column
        row, column, together = row[other], column[other], together[other]
        degree = np.asarray(bought.sum(axis=0))
        cosine = together / (np.sqrt(degree[row] * degree[column]) + self.shrink)
        if self.k is not None:
            kept = largest(column, row, cosine, self.k)
            row, column, cosine = row[kept], column[kept], cosine[kept]
        return Linear(name, csr_array((cosine, (row, column)), shape=common.shape), met)


def largest(
    group: npt.NDArray[np.integer[Any]],
    member: npt.NDArray[np.integer[Any]],
    value: npt.NDArray[np.floating[Any]],
    k: int,
) -> npt.NDArray[np.int64]:
    """Return where the `k` largest values of each group are; of equal ones the lower members'.

    Args:
        group: ``[n]`` not negative.
        member: ``[n]``.
        value: ``[n]``.
        k: At most so many of each group.
    """
    order = np.lexsort((member, -value, group))
    count = np.bincount(group)
    first = np.cumsum(count) - count
    place = np.arange(len(order)) - first[group[order]]
    kept: npt.NDArray[np.int64] = order[place < k]
    return kept

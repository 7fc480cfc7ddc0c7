"""scipy: one relation as a sparse matrix."""

from typing import TYPE_CHECKING

import numpy as np
import torch

from graphrec_pt.graph.graph import Graph

if TYPE_CHECKING:
    from scipy.sparse import csr_array


def to_scipy(graph: Graph, relation: str, *, weights: bool = True) -> "csr_array[np.float32]":
    """Return the adjacency matrix of a relation: rows are sources, columns targets.

    Args:
        graph: What to convert.
        relation: Which relation.
        weights: Whether entries are sums of edge weights (1 for edges without one) or counts of
            parallel edges.

    Returns:
        float32 ``[n_s, n_t]``, columns of each row ascending, one entry per linked pair.
    """
    from scipy.sparse import csr_array

    definition = graph.schema.relation(relation)
    edges = graph.edges(relation)
    degree = graph.degree(relation)
    rows = torch.cat([degree.new_zeros(1), torch.cumsum(degree, 0)])  # [n_s + 1]
    columns = edges.target - graph.nodes(definition.target).start
    values = edges.weight if weights and edges.weight is not None else torch.ones(len(columns))
    shape = (graph.num_nodes(definition.source), graph.num_nodes(definition.target))
    matrix = csr_array((values.numpy(), columns.numpy(), rows.numpy()), shape=shape)
    matrix.sum_duplicates()  # also sorts the columns of each row
    return matrix

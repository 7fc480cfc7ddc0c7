"""Which nodes of a type belong to something: many at once, each yes or no."""

from typing import Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import softplus

from graphrec_pt.graph.graph import Graph
from graphrec_pt.sampling.edges import segment_edges

Over = Literal["mean", "sum"]
"""What is made of the terms of all nodes of the type."""


class Labels(NamedTuple):
    """The nodes that belong to each of n things, every pair once.

    Args:
        row: int64 ``[M]`` in ``[0, n)``, ascending.
        label: int64 ``[M]``, numbered inside the node type.
    """

    row: Tensor
    label: Tensor

    @classmethod
    def of(cls, row: Tensor, label: Tensor, size: int) -> "Labels":
        """Return pairs once each, in order.

        Args:
            row: int64 ``[M]``.
            label: int64 ``[M]`` in ``[0, size)``.
            size: Nodes of the type.
        """
        pair = torch.unique(row * size + label)
        return cls(pair // size, pair % size)


def linked(graph: Graph, relation: str, nodes: Tensor) -> Labels:
    """Return what a relation links nodes of its source type to.

    Args:
        graph: What may be seen.
        relation: Its name.
        nodes: int64 ``[n]`` global ids.
    """
    position, row = segment_edges(graph, nodes, relation)
    among = graph.nodes(graph.schema.relation(relation).target)
    return Labels.of(row, graph.csr.indices[position].long() - among.start, max(len(among), 1))


def multi_label_loss(scores: Tensor, labels: Labels, over: Over = "mean") -> Tensor:
    r"""Return the mean over n rows of the binary cross-entropy over A nodes.

    .. math:: \ell_i = \sum_a \log(1 + e^{s_{ia}}) - \sum_{a \in A_i} s_{ia}

    divided by A for ``"mean"``. The multi-hot targets are never stored.

    Args:
        scores: ``[n, A]`` logits.
        labels: What belongs to each row.
        over: The mean or the sum over the A nodes.

    Returns:
        Scalar; 0 for no rows.
    """
    total = softplus(scores).sum() - scores[labels.row, labels.label].sum()
    return total / max(scores.numel() if over == "mean" else len(scores), 1)

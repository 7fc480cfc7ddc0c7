"""Which candidates a source has interacted with before."""

from typing import Literal

import torch
from torch import Tensor

from graphrec_pt.graph.graph import Graph
from graphrec_pt.kernels.torch.segments import ranges

SeenPolicy = Literal["mask", "keep"]
"""Whether the items that a source has interacted with are masked or stay candidates."""


def seen_pairs(history: Graph, relation: str, nodes: Tensor) -> tuple[Tensor, Tensor]:
    """Return the candidates that each source has interacted with, each candidate once.

    Args:
        history: The history graph.
        relation: The relation that is predicted.
        nodes: int64 ``[B]`` global ids of sources.

    Returns:
        ptr int64 ``[B+1]`` and int64 ``[S]`` candidates, counted from the first of their type and
        ascending for each source.
    """
    definition = history.schema.relation(relation)
    catalogue = history.nodes(definition.target)
    low, high = history.segments(relation)
    at = nodes - history.nodes(definition.source).start
    position, row = ranges(low[at], (high - low)[at])
    column = history.csr.indices[position].long() - catalogue.start
    pairs = torch.unique(row * len(catalogue) + column)
    row, column = pairs // len(catalogue), pairs % len(catalogue)
    counts = torch.bincount(row, minlength=len(nodes))
    return torch.cat([counts.new_zeros(1), counts.cumsum(0)]), column

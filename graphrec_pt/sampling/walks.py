"""From the arrays of the walk kernel to Paths."""

import torch
from torch import Tensor

from graphrec_pt.graph.graph import Graph
from graphrec_pt.graph.schema import Relation
from graphrec_pt.sampling.edges import relations_of
from graphrec_pt.sampling.sample import Paths


def walked(
    graph: Graph,
    nodes: Tensor,
    position: Tensor,
    root: Tensor,
    size: int,
    metapath: list[Relation] | None = None,
) -> Paths:
    """Return walks as paths.

    Args:
        graph: The graph.
        nodes: int64 ``[P, L+1]``.
        position: int64 ``[P, L]``.
        root: int64 ``[P]``, the row of the batch of each walk.
        size: B.
        metapath: The relation of each hop where it is known; it is looked up otherwise.
    """
    if metapath is None:
        relations = relations_of(graph, position, nodes[:, :-1])
    else:
        index = [graph.schema.relation_index(relation.name) for relation in metapath]
        relations = torch.where(position >= 0, position.new_tensor(index), -1)
    return Paths(
        nodes=nodes,
        relations=relations,
        length=(nodes[:, 1:] >= 0).sum(1),
        root=root,
        score=torch.zeros(len(nodes), device=nodes.device),
        position=position,
        size=size,
    )


def rows_of_walks(size: int, repeats: int, device: torch.device) -> Tensor:
    """Return the root of each walk when every root has as many: int64 ``[size · repeats]``."""
    return torch.arange(size, device=device).repeat_interleave(repeats)

"""Nodes that a source could have an edge to and has not."""

import torch
from torch import Tensor

from graphrec_pt.core.key import Key
from graphrec_pt.graph.graph import Graph
from graphrec_pt.kernels.negative import negative


def non_neighbors(
    graph: Graph, source: Tensor, relation: Tensor, count: int, key: Key, item: Tensor
) -> Tensor:
    """Return nodes of the type that a relation leads to, none of which it leads a source to.

    Args:
        graph: Whose edges are true.
        source: int64 ``[n]`` global ids.
        relation: int64 ``[n]``, leaves the type of the source; −1 asks for nothing.
        count: Nodes for each.
        key: Names the draws.
        item: int64 ``[n]`` below 2**32, whose draws they are.

    Returns:
        int64 ``[n, count]`` global ids, −1 for none.
    """
    schema = graph.schema
    slot = torch.tensor([schema.slot(each.name) for each in schema.relations])
    leads_to = torch.tensor([schema.node_index(each.target) for each in schema.relations])
    kind = torch.where(relation < 0, -1, leads_to[relation])
    found = torch.full((len(source), count), -1, dtype=torch.int64)
    for index in torch.unique(kind[kind >= 0]).tolist():
        rows = (kind == index).nonzero().squeeze(1)
        among = graph.nodes(schema.nodes[index].name)
        found[rows] = negative(
            graph.csr,
            source[rows],
            slot[relation[rows]],
            count,
            key,
            low=among.start,
            high=among.stop,
            item=item[rows],
        )
    return found

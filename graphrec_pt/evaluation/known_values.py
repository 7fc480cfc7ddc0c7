"""The values that targets have, and those that training knows."""

import torch
from torch import Tensor

from graphrec_pt.core.key import Key
from graphrec_pt.evaluation.values import Known
from graphrec_pt.graph.split import Split
from graphrec_pt.kernels.negative import negative


def weights_of(split: Split, edge: Tensor) -> Tensor:
    """Return the weights of edges of the predicted relation, by edge id: float64 ``[n]``."""
    edges = split.graph.edges(split.relation)
    assert edges.weight is not None
    by_id = torch.full((split.graph.num_edge_ids,), float("nan"), dtype=torch.float64)
    by_id[edges.edge] = edges.weight.double()
    return by_id[edge]


def known_ratings(split: Split) -> Known:
    """Return the weights of all training edges."""
    edges = split.train.edges(split.relation)
    assert edges.weight is not None
    return Known(edges.source, edges.target, edges.weight.double(), split.graph.num_nodes())


def known_clicks(split: Split, negatives: int, seed: int) -> Known:
    """Return training edges as clicks, and drawn pairs that are none in training as no clicks.

    Args:
        split: Its training graph alone says what is no click.
        negatives: Pairs drawn for each click, uniformly.
        seed: Of the draws.
    """
    graph = split.train
    edges, relation = graph.edges(split.relation), graph.schema.relation(split.relation)
    items = graph.nodes(relation.target)
    drawn = negative(
        graph.csr,
        edges.source,
        graph.schema.slot(split.relation),
        negatives,
        Key(seed).named("evaluation.known"),
        low=items.start,
        high=items.stop,
        item=edges.edge,
    )  # [n, K], −1 for sources who have met everything
    source = torch.cat([edges.source, edges.source.repeat_interleave(negatives)])
    target = torch.cat([edges.target, drawn.flatten()])
    value = torch.zeros(len(source), dtype=torch.float64)
    value[: len(edges.source)] = 1
    kept = target >= 0
    return Known(source[kept], target[kept], value[kept], graph.num_nodes())

"""Nodes that are interactions: reviews, visits, invoices."""

import polars as pl
import torch
from torch import Tensor

from graphrec_pt.graph.graph import Graph
from graphrec_pt.graph.schema import Relation


def telling_events(graph: Graph, seen: Tensor) -> Tensor:
    """Return the event nodes that tell of interactions not seen.

    They are the events of unseen interactions and, unless a seen interaction needs them, other
    nodes of that kind that link the same two nodes: the second review of a pair of which one was
    kept.

    Args:
        graph: The graph.
        seen: bool ``[edge ids]``.

    Returns:
        int64 global ids; repeats are possible.
    """
    telling = [torch.empty(0, dtype=torch.int64)]
    for relation in graph.schema.interactions:
        if relation.event is None:
            continue
        edges = graph.edges(relation.name)
        row = edges.edge - graph.edge_offset[relation.name]
        event = graph.edge_tables[relation.name]["event"].fill_null(-1).to_torch().long()[row]
        event = torch.where(event >= 0, event + graph.nodes(relation.event).start, -1)
        hidden = ~seen[edges.edge]
        telling.append(event[hidden & (event >= 0)])
        pairs = pl.DataFrame(
            {"source": edges.source[hidden].numpy(), "target": edges.target[hidden].numpy()}
        )
        linking = _linking(graph, relation, pairs)
        telling.append(linking[~torch.isin(linking, event[~hidden])])
    return torch.cat(telling)


def _linking(graph: Graph, relation: Relation, pairs: pl.DataFrame) -> Tensor:
    """Return the event nodes of a relation that have edges to both ends of one of the pairs."""
    assert relation.event is not None
    beside = []
    for other in graph.schema.relations:
        if other.backward or relation.event not in (other.source, other.target):
            continue
        edges = graph.edges(other.name)
        source, target = edges.source.numpy(), edges.target.numpy()
        if other.source == relation.event:
            beside.append(pl.DataFrame({"event": source, "node": target}))
        if other.target == relation.event:
            beside.append(pl.DataFrame({"event": target, "node": source}))
    if not beside or pairs.is_empty():
        return torch.empty(0, dtype=torch.int64)
    ends = pl.concat(beside).lazy()
    sources = ends.filter(pl.col("node").is_in(pairs["source"].unique().implode()))
    targets = ends.filter(pl.col("node").is_in(pairs["target"].unique().implode()))
    both = sources.rename({"node": "source"}).join(targets.rename({"node": "target"}), on="event")
    found = both.join(pairs.lazy(), on=["source", "target"], how="semi")
    return found.select("event").unique().collect()["event"].to_torch()

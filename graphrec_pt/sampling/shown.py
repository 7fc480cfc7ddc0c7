"""Lists of items that were shown to somebody, and what became of each item."""

from typing import NamedTuple

import polars as pl
import torch
from torch import Tensor

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.core.memo import Memo
from graphrec_pt.graph.graph import Graph
from graphrec_pt.graph.schema import Relation, Schema
from graphrec_pt.sampling.edges import segment_edges
from graphrec_pt.sampling.tree_batch import first_of

EVENT = "event"
_answers: Memo[tuple[Tensor, Tensor]] = Memo()  # of a graph


class Shown(NamedTuple):
    """Items of some lists.

    Args:
        row: int64 ``[n]``, the list that each belongs to, ascending.
        item: int64 ``[n]`` global ids, once in a list, in stored order.
        position: int64 ``[n]``, where the edge from the list stands in ``graph.csr``.
    """

    row: Tensor
    item: Tensor
    position: Tensor


def shown_items(graph: Graph, lists: Tensor, shows: str, exclude: Tensor | None = None) -> Shown:
    """Return what each list shows.

    Args:
        graph: The graph.
        lists: int64 ``[B]`` global ids.
        shows: Relation from lists to items.
        exclude: int64 ``[B]``, an edge of each list that is left out, or None.
    """
    position, row = segment_edges(graph, lists, shows, exclude)
    item = graph.csr.indices[position].long()
    kept = first_of(row * graph.num_nodes() + item)
    return Shown(row[kept], item[kept], position[kept])


def interaction_with_lists(schema: Schema, relation: str | None, lists: str) -> Relation:
    """Return the interaction relation whose events are lists.

    Args:
        schema: Of the graph.
        relation: Its name; the first interaction relation by default.
        lists: Node type of the lists.

    Raises:
        GraphRecError: For a relation with other event nodes, or with none.
    """
    found = schema.interaction(relation)
    if found.event != lists:
        got = f"{found.name!r} with {'none' if found.event is None else repr(found.event)}"
        hint = f"event: {lists}.COLUMN in the card"
        raise GraphRecError("lists", f"an interaction with event nodes {lists!r}", got, hint)
    return found


def is_clicked(
    graph: Graph, relation: Relation, lists: Tensor, items: Tensor, above: float | None = None
) -> Tensor:
    """Return whether the interaction of each item of a list is a click: bool ``[n]``.

    An item is clicked if an interaction with it belongs to the list; with `above`, if the weight of
    one is at least that.

    Args:
        graph: The graph whose interactions may be known.
        relation: The interaction relation.
        lists: int64 ``[n]`` global ids of lists.
        items: int64 ``[n]`` global ids of items.
        above: Least weight; None where every interaction is a click.
    """
    size = graph.num_nodes()
    known, weight = _answers(graph, relation.name, lambda: _interactions(graph, relation))
    if not len(known):
        return torch.zeros_like(lists, dtype=torch.bool)
    asked = lists * size + items
    place = torch.searchsorted(known, asked).clamp(max=len(known) - 1)
    there = known[place] == asked
    return there if above is None else there & (weight[place] >= above)


def _interactions(graph: Graph, relation: Relation) -> tuple[Tensor, Tensor]:
    """Return one number per (list, item) with an interaction, ascending, and its best weight."""
    assert relation.event is not None
    edges = graph.edges(relation.name)
    column: pl.Series = graph.edge_tables[relation.name][EVENT]
    device = edges.edge.device
    event = column.fill_null(-1).to_torch().long().to(device)
    event = event[edges.edge - graph.edge_offset[relation.name]]
    weight = torch.ones(len(event), device=device) if edges.weight is None else edges.weight
    kept = event >= 0
    pair = (event[kept] + graph.nodes(relation.event).start) * graph.num_nodes()
    pair, place = torch.unique(pair + edges.target[kept], return_inverse=True)
    best = torch.full((len(pair),), -torch.inf, dtype=weight.dtype, device=device)
    return pair, best.scatter_reduce(0, place, weight[kept], "amax")

"""A graph without some of its edges; every view of a split is made with it."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import polars as pl
import torch
from torch import Tensor

from graphrec_pt.graph.fingerprint import fingerprint
from graphrec_pt.graph.graph import RAW_ID, Graph
from graphrec_pt.kernels.csr import SegmentedCSR


def keep_edges(
    graph: Graph,
    kept: Tensor,
    isolated: Tensor | None = None,
    provenance: Mapping[str, Any] | None = None,
) -> Graph:
    """Return the graph without some edges; both directions of an edge are kept or removed.

    Node ids, edge ids and relations do not change; the extra columns of removed edges are emptied.

    Args:
        graph: The graph.
        kept: bool ``[edge ids]``.
        isolated: int64 global ids of nodes that lose every edge, all their columns and the raw id.
        provenance: Entries to add to the provenance of the graph.
    """
    csr = graph.csr
    assert csr.edge is not None
    stays = kept[csr.edge.long()]
    if isolated is not None and len(isolated):
        gone = torch.zeros(csr.num_nodes, dtype=torch.bool)
        gone[isolated] = True
        incident = gone[csr.indices.long()] | gone[_sources(csr)]
        touched = torch.zeros(len(kept), dtype=torch.bool)
        touched[csr.edge[incident].long()] = True
        stays &= ~touched[csr.edge.long()]
    before = torch.cat([torch.zeros(1, dtype=torch.int64), torch.cumsum(stays, 0)])
    smaller = SegmentedCSR(
        csr.offset,
        csr.slots,
        csr.base,
        before[csr.segment],
        csr.indices[stays],
        None if csr.time is None else csr.time[stays],
        None if csr.weight is None else csr.weight[stays],
        csr.edge[stays],
    )
    tables = _blanked(graph, isolated) if isolated is not None and len(isolated) else graph.tables
    made = replace(
        graph,
        csr=smaller,
        tables=tables,
        edge_tables=_without_rows(graph, kept),
        folder=None,
        edge_ids=graph.num_edge_ids,
        provenance={**graph.provenance, **(provenance or {})},
    )
    return replace(made, fingerprint=fingerprint(made))


def _sources(csr: SegmentedCSR) -> Tensor:
    """Return the source node of every stored edge: int64 ``[E]``."""
    nodes = torch.arange(csr.num_nodes)
    low, high = csr.bounds(nodes)
    return torch.repeat_interleave(nodes, high - low)


def _blanked(graph: Graph, nodes: Tensor) -> dict[str, pl.DataFrame]:
    """Return the node tables with the columns of some nodes emptied."""
    types = graph.csr.node_type(nodes)
    tables = {name: graph.tables[name] for name in graph.schema.node_names}
    for index in set(types.tolist()):
        name = graph.schema.node_names[index]
        table = tables[name]
        gone = torch.zeros(len(table), dtype=torch.bool)
        gone[nodes[types == index] - graph.nodes(name).start] = True
        mask = pl.Series(gone.numpy())
        # The raw id is emptied as well: that of a review often names its user and its item.
        opaque = pl.format("hidden #{}", pl.int_range(pl.len()))
        tables[name] = table.with_columns(
            pl.when(~mask).then(pl.col(c)).otherwise(opaque if c == RAW_ID else None).alias(c)
            for c in table.columns
        )
    return tables


def _without_rows(graph: Graph, kept: Tensor) -> dict[str, pl.DataFrame]:
    """Return the edge tables with the rows of removed edges emptied."""
    tables = {}
    for name, table in graph.edge_tables.items():
        first = graph.edge_offset[name]
        mask = pl.Series(kept[first : first + len(table)].numpy())
        tables[name] = table.with_columns(
            pl.when(mask).then(pl.col(c)).otherwise(None).alias(c) for c in table.columns
        )
    return tables

"""Fingerprints: of the content, whatever the order of rows."""

from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch

from graphrec_pt.graph.assemble import EdgeList, assemble, fingerprint
from graphrec_pt.graph.graph import Graph
from graphrec_pt.graph.store import open_graph, save_graph


def same_graph(one: Graph, two: Graph) -> bool:
    arrays = all(
        (a is None and b is None) or (a.dtype == b.dtype and torch.equal(a, b))
        for f in fields(one.csr)
        for a, b in [(getattr(one.csr, f.name), getattr(two.csr, f.name))]
    )
    tables = all(one.tables[n].equals(two.tables[n]) for n in one.schema.node_names)
    extra = all(one.edge_tables[n].equals(two.edge_tables[n]) for n in one.edge_tables)
    return arrays and tables and extra and one.schema == two.schema


def shuffled(graph: Graph, seed: int) -> Graph:
    """The same content from edge rows in another order."""
    edges = {}
    for relation in graph.schema.relations:
        if relation.backward:
            continue
        found = graph.edges(relation.name)
        rows = np.random.default_rng(seed).permutation(len(found.source))
        listed = EdgeList(
            (found.source - graph.nodes(relation.source).start).numpy(),
            (found.target - graph.nodes(relation.target).start).numpy(),
            None if found.time is None else found.time.numpy(),
            None if found.weight is None else found.weight.numpy(),
            graph.edge_tables.get(relation.name),
        )
        edges[relation.name] = listed.take(rows)
    counts = [graph.num_nodes(name) for name in graph.schema.node_names]
    made = assemble(graph.schema, counts, edges)
    return replace(
        graph,
        csr=made.csr,
        edge_tables=made.edge_tables,
        edge_offset=made.edge_offset,
        edge_ids=made.edge_ids,
    )


def test_fingerprint_survives_reopening_and_ignores_row_order(
    toy_graph: Graph, tmp_path: Path
) -> None:
    digest = fingerprint(toy_graph)
    assert save_graph(toy_graph, tmp_path / "toy").fingerprint == digest
    assert fingerprint(open_graph(tmp_path / "toy")) == digest
    assert [fingerprint(shuffled(toy_graph, seed)) for seed in range(5)] == [digest] * 5


@pytest.mark.parametrize("what", ["weight", "node column", "edge column", "schema"])
def test_fingerprint_sees_every_change(toy_graph: Graph, what: str) -> None:
    csr, tables, extra, schema = (
        toy_graph.csr,
        dict(toy_graph.tables),
        dict(toy_graph.edge_tables),
        toy_graph.schema,
    )
    if what == "weight":
        assert csr.weight is not None
        weight = csr.weight.clone()
        weight[0] += 1
        csr = replace(csr, weight=weight)
    elif what == "node column":
        tables["brand"] = pl.DataFrame({"id": ["acme", "zetb"]})
    elif what == "edge column":
        extra["rates"] = extra["rates"].with_columns(device=pl.lit("fax"))
    else:
        schema = schema.model_copy(update={"time_unit": "ms"})
    changed = replace(toy_graph, csr=csr, tables=tables, edge_tables=extra, schema=schema)
    assert fingerprint(changed) != fingerprint(toy_graph)


def test_rows_are_taken_by_places_or_by_a_mask() -> None:
    """Edges with columns and unknown ends lose their rows by a mask, which polars does not take."""
    columns = pl.DataFrame({"note": ["a", "b", "c"]})
    edges = EdgeList(np.arange(3), np.arange(3), np.arange(3), None, columns)
    for rows in (np.array([True, False, True]), np.array([0, 2])):
        kept = edges.take(rows)
        assert kept.source.tolist() == [0, 2]
        assert kept.columns is not None
        assert kept.columns["note"].to_list() == ["a", "c"]

"""Derived relations: computed from the interactions of the given graph and of no other."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any, Protocol

import torch

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.core.registry import Registry, config_of
from graphrec_pt.graph.assemble import EdgeList, assemble
from graphrec_pt.graph.fingerprint import fingerprint
from graphrec_pt.graph.graph import Graph
from graphrec_pt.graph.schema import Relation, Schema


class Derivation(Protocol):
    """Computes one relation from the edges of a graph."""

    def relation(self, schema: Schema) -> Relation:
        """Return the relation that :meth:`edges` fills; it has ``derived=True``."""
        ...

    def edges(self, graph: Graph) -> EdgeList:
        """Return the edges of the relation, numbered inside their node types."""
        ...


derivation: Registry[Derivation] = Registry("derivation")
"""``@derivation("name")`` makes a class usable under ``derive:`` in a card."""

DerivationField = Annotated[Derivation, derivation]
"""Type of a config field that holds a derivation."""


def derive(graph: Graph, configs: Sequence[Any] | None = None) -> Graph:
    """Return the graph with derived relations, computed from its own edges.

    Args:
        graph: The graph. Give the train graph of a split, so that held-out edges are not used.
        configs: Names, configs or objects; by default those of the graph's schema.

    Raises:
        GraphRecError: When a config is wrong or its relation's name is taken.

    Example:
        >>> parts = split(checkerboard(10), "leave_one_out")
        >>> graph = derive(parts.train, [{"name": "transition", "window": 2}])
        >>> graph.num_edges("followed_by")
        10
    """
    wanted = [derivation.build(config) for config in _configs(graph.schema, configs)]
    if not wanted:
        return graph
    graph = without_derived(graph)
    # The schema keeps the configs, so that a split derives the relations again for each view.
    recorded = tuple(config_of(made) for made in wanted)
    graph = replace(graph, schema=graph.schema.model_copy(update={"derive": recorded}))
    relations, lists = list(graph.schema.relations), forward_lists(graph)
    for made in wanted:
        relation = made.relation(graph.schema)
        if relation.name in [r.name for r in relations]:
            raise GraphRecError(
                "derive", "a new relation name", repr(relation.name), "another `relation:`"
            )
        relations.append(relation)
        if relation.inverse:
            relations.append(relation.inverted())
        lists[relation.name] = made.edges(graph)
    return _reassembled(graph, relations, lists)


def without_derived(graph: Graph) -> Graph:
    """Return the graph without its derived relations."""
    relations = [r for r in graph.schema.relations if not r.derived]
    if len(relations) == len(graph.schema.relations):
        return graph
    lists = forward_lists(graph)
    given = {r.name: lists[r.name] for r in relations if not r.backward}
    derived = [r.name for r in graph.schema.relations if r.derived and not r.backward]
    offset = {name: at for name, at in graph.edge_offset.items() if name not in derived}
    # Derived edges were numbered last, so their ids are free again.
    free = min(graph.edge_offset[name] for name in derived)
    return _reassembled(replace(graph, edge_offset=offset, edge_ids=free), relations, given)


def forward_lists(graph: Graph) -> dict[str, EdgeList]:
    """Return the edges of every forward relation, edge ids kept."""
    lists = {}
    for relation in graph.schema.relations:
        if relation.backward:
            continue
        edges = graph.edges(relation.name)
        lists[relation.name] = EdgeList(
            (edges.source - graph.nodes(relation.source).start).numpy(),
            (edges.target - graph.nodes(relation.target).start).numpy(),
            None if edges.time is None else edges.time.numpy(),
            None if edges.weight is None else edges.weight.numpy(),
            edge=edges.edge.numpy(),
        )
    return lists


def _configs(schema: Schema, configs: Sequence[Any] | None) -> Sequence[Any]:
    return schema.derive if configs is None else configs


def _reassembled(
    graph: Graph, relations: Sequence[Relation], lists: Mapping[str, EdgeList]
) -> Graph:
    schema = graph.schema.with_relations(relations)
    counts = torch.diff(graph.csr.offset).tolist()
    made = assemble(schema, counts, lists, graph.num_edge_ids)
    built = replace(
        graph,
        schema=schema,
        csr=made.csr,
        edge_tables={**graph.edge_tables, **made.edge_tables},
        edge_offset={**graph.edge_offset, **made.edge_offset},
        edge_ids=made.edge_ids,
        folder=None,
    )
    return replace(built, fingerprint=fingerprint(built))

"""The outline of a graph: the names and sizes that a model is built from, without any data."""

from typing import Self

import polars as pl

from graphrec_pt.core.errors import GraphRecError, did_you_mean
from graphrec_pt.graph.graph import Graph
from graphrec_pt.graph.schema import NodeType, Relation, Strict


class GraphSpec(Strict):
    """Node types, relations and sizes; JSON-ready, kept in the config of a model.

    Args:
        nodes: Node types in id order.
        relations: Relations in the order of their ids.
        counts: Number of nodes of each type, in id order.
        categories: Node type → category column → its values, in the order of their codes.
        widths: Node type → vector column → its length.
    """

    nodes: tuple[NodeType, ...]
    relations: tuple[Relation, ...]
    counts: tuple[int, ...]
    categories: dict[str, dict[str, tuple[str, ...]]] = {}
    widths: dict[str, dict[str, int]] = {}

    @classmethod
    def of(cls, graph: Graph) -> Self:
        """Return the outline of a graph."""
        categories: dict[str, dict[str, tuple[str, ...]]] = {}
        widths: dict[str, dict[str, int]] = {}
        for node in graph.schema.nodes:
            table = graph.tables[node.name]
            for column, kind in node.columns.items():
                dtype = table[column].dtype
                if kind == "category" and isinstance(dtype, pl.Enum):
                    values = tuple(dtype.categories.to_list())
                    categories.setdefault(node.name, {})[column] = values
                if kind == "vector" and isinstance(dtype, pl.Array):
                    widths.setdefault(node.name, {})[column] = dtype.size
        names = graph.schema.node_names
        return cls(
            nodes=graph.schema.nodes,
            relations=graph.schema.relations,
            counts=tuple(graph.num_nodes(name) for name in names),
            categories=categories,
            widths=widths,
        )

    @property
    def node_names(self) -> tuple[str, ...]:
        """Names of the node types, in id order."""
        return tuple(node.name for node in self.nodes)

    @property
    def relation_names(self) -> tuple[str, ...]:
        """Names of the relations, in the order of their ids."""
        return tuple(relation.name for relation in self.relations)

    @property
    def num_nodes(self) -> int:
        """N."""
        return sum(self.counts)

    def node_index(self, name: str) -> int:
        """Return a node type's place in id order."""
        if name not in self.node_names:
            hint = did_you_mean(name, self.node_names)
            raise GraphRecError("graph", "a node type", repr(name), hint)
        return self.node_names.index(name)

    def relation_index(self, name: str) -> int:
        """Return the id of a relation."""
        if name not in self.relation_names:
            hint = did_you_mean(name, self.relation_names)
            raise GraphRecError("graph", "a relation", repr(name), hint)
        return self.relation_names.index(name)

    def ids(self, name: str) -> range:
        """Return the global ids of a node type."""
        index = self.node_index(name)
        first = sum(self.counts[:index])
        return range(first, first + self.counts[index])

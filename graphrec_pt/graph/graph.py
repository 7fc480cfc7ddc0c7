"""The typed graph: one global id space, one segmented CSR, columns per node type."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl
import torch
from torch import Tensor

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.graph.schema import Schema
from graphrec_pt.kernels.adjacency import edge_relation
from graphrec_pt.kernels.csr import SegmentedCSR

RAW_ID = "id"
"""Name of the raw-id column of every node table."""


class Edges(NamedTuple):
    """The edges of one relation, one row each, ordered by (source, time).

    Edges of one source at one time stand in a random order; edges without a time are ordered by
    target.

    Args:
        source: int64 ``[E_r]`` global ids.
        target: int64 ``[E_r]`` global ids.
        position: int64 ``[E_r]``, where each edge stands in the index array.
        time: int64 ``[E_r]`` or None.
        weight: float32 ``[E_r]`` or None.
        edge: int64 ``[E_r]``, the ids shared with the inverse.
    """

    source: Tensor
    target: Tensor
    position: Tensor
    time: Tensor | None
    weight: Tensor | None
    edge: Tensor


@dataclass(frozen=True, eq=False)
class Graph:
    """A typed, time-stamped graph of users, items and attributes; immutable.

    Args:
        schema: Node types and relations.
        csr: The adjacency arrays; may be memory-mapped.
        tables: Node type → columns, row *n* describing the *n*-th node of the type; the first
            column ``id`` is the raw id as text.
        edge_tables: Relation → extra edge columns, row *n* describing its *n*-th edge id.
        edge_offset: Relation → first of its edge ids (forward relations only).
        fingerprint: Hex digest of the content.
        provenance: Origin of the graph: card, permutation seed, problems of the build, split.
        folder: Folder of a stored graph, else None.
        edge_ids: Number of edge ids ever assigned; removed edges leave gaps. By default one more
            than the highest id of the stored edges.
    """

    schema: Schema
    csr: SegmentedCSR
    tables: Mapping[str, pl.DataFrame]
    edge_tables: Mapping[str, pl.DataFrame] = field(default_factory=dict)
    edge_offset: Mapping[str, int] = field(default_factory=dict)
    fingerprint: str = ""
    provenance: Mapping[str, Any] = field(default_factory=dict)
    folder: Path | None = None
    edge_ids: int | None = None

    @property
    def device(self) -> torch.device:
        """Device of the adjacency arrays, and of all samples from the graph."""
        return self.csr.indices.device

    def to(self, device: torch.device | str) -> "Graph":
        """Return the graph with its adjacency arrays on another device; tables stay."""
        if self.device == torch.device(device):
            return self
        return replace(self, csr=self.csr.to(device))

    @cached_property
    def near(self) -> "Graph":
        """The same graph on the CPU, copied once; for what reads texts or sparse matrices."""
        return self.to("cpu")

    @property
    def num_edge_ids(self) -> int:
        """One more than the highest edge id, removed edges included."""
        if self.edge_ids is not None:
            return self.edge_ids
        edge = self.csr.edge
        return 0 if edge is None or not len(edge) else int(edge.max()) + 1

    def num_nodes(self, node_type: str | None = None) -> int:
        """Count the nodes, of one type or of all."""
        return self.csr.num_nodes if node_type is None else len(self.nodes(node_type))

    def num_edges(self, relation: str | None = None) -> int:
        """Count the stored edges, of one relation or of all (inverses included)."""
        if relation is None:
            return self.csr.num_edges
        low, high = self.segments(relation)
        return int((high - low).sum())

    def nodes(self, node_type: str) -> range:
        """Return the global ids of a node type."""
        index = self.schema.node_index(node_type)
        return range(int(self.csr.offset[index]), int(self.csr.offset[index + 1]))

    def segments(self, relation: str) -> tuple[Tensor, Tensor]:
        """Return where each source node's edges of a relation start and end: two ``[n_s]``."""
        definition = self.schema.relation(relation)
        index, slots = (
            self.schema.node_index(definition.source),
            len(self.schema.leaving(definition.source)),
        )
        first, last = int(self.csr.base[index]), int(self.csr.base[index + 1])
        slot = self.schema.slot(relation)
        low = self.csr.segment[first + slot : last : slots]
        return low, self.csr.segment[first + slot + 1 : last + 1 : slots]

    def degree(self, relation: str) -> Tensor:
        """Return how many edges of a relation leave each source node: int64 ``[n_s]``."""
        low, high = self.segments(relation)
        return high - low

    def edges(self, relation: str) -> Edges:
        """Return the edges of one relation as columns."""
        definition = self.schema.relation(relation)
        low, high = self.segments(relation)
        degree = high - low
        owned, device = self.nodes(definition.source), self.device
        source = torch.arange(owned.start, owned.stop, device=device).repeat_interleave(degree)
        before = torch.cumsum(degree, 0) - degree
        place = torch.arange(len(source), device=device)
        position = torch.repeat_interleave(low - before, degree) + place
        edge = self.csr.edge
        return Edges(
            source,
            self.csr.indices[position].long(),
            position,
            self.csr.time[position] if self.csr.time is not None and definition.timed else None,
            self.csr.weight[position]
            if self.csr.weight is not None and definition.weighted
            else None,
            position if edge is None else edge[position].long(),
        )

    def neighbors(self, node: int, relation: str | None = None) -> Tensor:
        """Return a node's targets under one relation, or under all: int64 ``[degree]``."""
        node_type = self.type_of(node)
        first = int(self.csr.first_segment(self.csr.offset.new_tensor([int(node)]))[0])
        last = first + len(self.schema.leaving(node_type))
        if relation is not None:
            if self.schema.relation(relation).source != node_type:
                raise GraphRecError(
                    "neighbors",
                    f"a relation that leaves {node_type!r}",
                    repr(relation),
                    "one of " + ", ".join(r.name for r in self.schema.leaving(node_type)),
                )
            first += self.schema.slot(relation)
            last = first + 1
        return self.csr.indices[self.csr.segment[first] : self.csr.segment[last]].long()

    def relation_of(self, position: Tensor, source: Tensor | None = None) -> Tensor:
        """Return the relation index of each stored edge: int64, shape of `position`.

        Args:
            position: int64 into ``csr.indices``.
            source: int64 of the same shape, the node that each edge leaves; saves a search.
        """
        csr, table = self.csr, self.slot_relations.to(position.device)
        if source is None:
            segment = torch.bucketize(position, csr.segment[1:], right=True)
            kind = torch.bucketize(segment, csr.base[1:], right=True)
            return table[kind, (segment - csr.base[kind]) % csr.slots[kind]]
        relation = edge_relation(csr, table, position.reshape(-1), source.reshape(-1))
        return relation.view(position.shape)

    def type_of(self, node: int) -> str:
        """Return the type name of a node."""
        if not 0 <= node < self.csr.num_nodes:
            raise GraphRecError("graph", f"a node below {self.csr.num_nodes}", node)
        kind = self.csr.node_type(self.csr.offset.new_tensor(int(node)))
        return self.schema.node_names[int(kind)]

    def raw_id(self, node: int) -> str:
        """Return the id that a node had in the raw files."""
        node_type = self.type_of(node)
        return str(self.tables[node_type][RAW_ID][node - self.nodes(node_type).start])

    def node_ids(self, node_type: str, raw_ids: Iterable[object]) -> Tensor:
        """Return the global ids of raw ids: int64 ``[len(raw_ids)]``, −1 where unknown.

        Args:
            node_type: Node type of the raw ids.
            raw_ids: Raw ids as text, or as numbers whose text is the raw id.
        """
        known = self._raw_index(node_type)
        if isinstance(raw_ids, str):
            raise GraphRecError("node_ids", "a sequence of ids", repr(raw_ids), "node_id")
        wanted = pl.DataFrame({RAW_ID: pl.Series(map(str, raw_ids), dtype=pl.String)})
        nodes = wanted.join(known, on=RAW_ID, how="left", maintain_order="left")["node"]
        return torch.from_numpy(nodes.fill_null(-1).to_numpy().copy())

    def node_id(self, node_type: str, raw_id: object) -> int:
        """Return the global id of one raw id.

        Raises:
            GraphRecError: When the graph has no such node; names close matches.
        """
        node = int(self.node_ids(node_type, [str(raw_id)])[0])
        if node < 0:
            some = ", ".join(self.tables[node_type][RAW_ID].head(3).to_list())
            got = repr(str(raw_id)[:80])
            raise GraphRecError(
                "graph", f"a known {node_type} id", got, f"one like {some}" if some else ""
            )
        return node

    def title(self, node: int) -> str:
        """Return the name of a node for a person: its title column, else its raw id."""
        node_type = self.type_of(node)
        column = self.schema.node(node_type).title
        if column is None:
            return self.raw_id(node)
        value = self.tables[node_type][column][node - self.nodes(node_type).start]
        return self.raw_id(node) if value is None else str(value)

    @cached_property
    def slot_relations(self) -> Tensor:
        """The index of the relation of each slot of a node type: int64 ``[S, most slots]``."""
        names = self.schema.node_names
        widest = max((len(self.schema.leaving(name)) for name in names), default=0)
        table = np.full((len(names), max(widest, 1)), -1, dtype=np.int64)
        for row, name in enumerate(names):
            for slot, relation in enumerate(self.schema.leaving(name)):
                table[row, slot] = self.schema.relation_index(relation.name)
        return torch.from_numpy(table)

    def _raw_index(self, node_type: str) -> pl.DataFrame:
        start = self.nodes(node_type).start
        ids = self.tables[node_type][RAW_ID]
        return pl.DataFrame(
            {RAW_ID: ids, "node": pl.int_range(start, start + len(ids), eager=True)}
        )

    def __repr__(self) -> str:
        nodes = ", ".join(f"{name}: {self.num_nodes(name):,}" for name in self.schema.node_names)
        edges = ", ".join(
            f"{r.name}: {self.num_edges(r.name):,}" for r in self.schema.relations if not r.backward
        )
        return f"Graph(nodes={{{nodes}}}, edges={{{edges}}}, fingerprint={self.fingerprint[:12]!r})"

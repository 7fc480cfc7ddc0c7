"""Derived relations: computed from the interactions of the given graph and of no other."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any, Literal, Protocol

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
import torch
from pydantic import Field

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.core.registry import Registry, config_of
from graphrec_pt.graph.assemble import EdgeList, assemble, fingerprint
from graphrec_pt.graph.graph import Graph
from graphrec_pt.graph.schema import Relation, Schema
from graphrec_pt.graph.sequences import rank_in_group


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


Counts = npt.NDArray[np.int64]
BLOCK = 4096  # rows of the co-interaction product held at once


@derivation("co_interaction")
class CoInteraction:
    """Link targets that share sources: ``c_ij = |N(i) ∩ N(j)|``, the *top* strongest per node.

    The weight of an edge is c, or damped ``(1 + ln c_ij) / (1 + ln √(d_i d_j))`` where d is the
    number of nodes that a node shares at least `least` sources with: the item graph of PMGT (Liu
    et al., ACM MM 2021).

    Args:
        relation_name: Name of the new relation.
        of: Interaction relation to count; the first one by default.
        between: Link targets that share sources, or sources that share targets.
        weight: ``count`` c; ``cosine`` ``c_ij / √(|N(i)| |N(j)|)``, as counts prefer nodes that
            have many; or ``damped``.
        least: Least number of shared neighbours.
        top: Strongest neighbours kept per node (by cosine, else by c); ties by lower id.
    """

    relation_name: str = "co_interacts"
    of: str | None = None
    between: Literal["targets", "sources"] = "targets"
    weight: Literal["count", "cosine", "damped"] = "count"
    least: int = Field(2, ge=1)
    top: int = Field(50, ge=1)

    def relation(self, schema: Schema) -> Relation:
        """Return a weighted relation of one type; it has no inverse, for `top` is one-sided."""
        of = schema.interaction(self.of)
        kind = of.target if self.between == "targets" else of.source
        return Relation(
            name=self.relation_name, source=kind, target=kind, weighted=True, derived=True
        )

    def edges(self, graph: Graph) -> EdgeList:
        """Count shared neighbours in blocks of rows; memory is bounded by the block."""
        of = graph.schema.interaction(self.of)
        edges = graph.edges(of.name)
        source = (edges.source - graph.nodes(of.source).start).numpy()
        target = (edges.target - graph.nodes(of.target).start).numpy()
        shape = graph.num_nodes(of.target), graph.num_nodes(of.source)
        seen = sp.csr_array((np.ones(len(source), np.float32), (target, source)), shape=shape)
        seen.data[:] = 1  # repeats of a pair count once
        seen = seen if self.between == "targets" else seen.T.tocsr()
        turned, degree = seen.T.tocsr(), np.diff(seen.indptr)
        parts = [
            self._strongest(seen[low : low + BLOCK] @ turned, low, degree)
            for low in range(0, seen.shape[0], BLOCK)
        ]
        if not parts:
            return EdgeList(source[:0], target[:0], None, np.empty(0, np.float32))
        left, right, weight, shares = (np.concatenate(c) for c in zip(*parts, strict=True))
        if self.weight == "damped":
            known = 1 + np.log(np.maximum(shares, 1)) / 2
            weight = (1 + np.log(weight)) / (known[left] + known[right] - 1)
        return EdgeList(left, right, None, weight.astype(np.float32))

    def _strongest(
        self, shared: sp.csr_array, low: int, degree: npt.NDArray[np.int32]
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.float64], Counts]:
        """Return source, target and c of the edges that stay, and the number of all by row."""
        pairs = shared.tocoo()
        row, column = (c.astype(np.int64) for c in pairs.coords)
        good = (pairs.data >= self.least) & (row + low != column)
        row, column, weight = row[good], column[good], pairs.data[good].astype(np.float64)
        shares = np.bincount(row, minlength=shared.shape[0])
        if self.weight == "cosine":
            weight /= np.sqrt(degree[row + low].astype(np.float64) * degree[column])
        best = np.lexsort((column, -weight, row))
        row, column, weight = row[best], column[best], weight[best]
        kept = rank_in_group(row) < self.top
        return row[kept] + low, column[kept], weight[kept], shares


@derivation("transition")
class Transition:
    """Link each target to those that follow it in a source's history.

    For positions ``p < q`` of one history with ``q − p ≤ window``:
    ``w(i_p → i_q) += decay^(q − p − 1)``, summed over all histories.

    Args:
        relation_name: Name of the new relation.
        of: Timed interaction relation; the first one by default.
        window: Longest distance.
        decay: Weight of one more step, in (0, 1].
    """

    relation_name: str = "followed_by"
    of: str | None = None
    window: int = Field(1, ge=1)
    decay: float = Field(0.5, gt=0, le=1)

    def relation(self, schema: Schema) -> Relation:
        """Return a weighted relation between targets, with an inverse."""
        kind = schema.interaction(self.of).target
        return Relation(
            name=self.relation_name,
            source=kind,
            target=kind,
            inverse=f"rev_{self.relation_name}",
            weighted=True,
            derived=True,
        )

    def edges(self, graph: Graph) -> EdgeList:
        """Pair up shifted histories, one distance at a time."""
        of = graph.schema.interaction(self.of)
        edges = graph.edges(of.name)
        if edges.time is None:
            raise GraphRecError(
                "transition", "a timed relation", repr(of.name), "`time:` in the card"
            )
        source = edges.source.numpy()
        item = (edges.target - graph.nodes(of.target).start).numpy()
        n = graph.num_nodes(of.target)
        pairs, weights = [], []
        for distance in range(1, self.window + 1):
            same = source[:-distance] == source[distance:]
            pair = item[:-distance][same] * n + item[distance:][same]
            pairs.append(pair)
            weights.append(np.full(len(pair), self.decay ** (distance - 1)))
        pair, place = np.unique(np.concatenate(pairs), return_inverse=True)
        total = np.bincount(place, np.concatenate(weights), minlength=len(pair))
        return EdgeList(pair // n, pair % n, None, total.astype(np.float32))

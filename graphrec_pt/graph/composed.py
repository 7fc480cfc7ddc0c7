"""Relations along a chain of other relations."""

from itertools import pairwise

import numpy as np
import scipy.sparse as sp
from pydantic import Field

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.graph.assemble import EdgeList
from graphrec_pt.graph.derive import derivation
from graphrec_pt.graph.graph import Graph
from graphrec_pt.graph.schema import Relation, Schema


@derivation("composed")
class Composed:
    """Link nodes that a chain of relations joins: an item and what its reviews mention.

    The weight of an edge is the number of chains between its ends. Every view of a split has the
    chains of its own edges, so what only held-out reviews mention is absent.

    Args:
        relation_name: Name of the new relation.
        along: Two or more relations, each leaving the type that the one before leads to.
        inverse: Name of the inverse relation; ``rev_NAME`` by default.
        least: Chains that an edge needs.
        top: Edges kept per source, those with the most chains; ties by lower id. None for all.
    """

    relation_name: str
    along: tuple[str, ...] = Field(min_length=2)
    inverse: str | None = None
    least: int = Field(1, ge=1)
    top: int | None = Field(None, ge=1)

    def relation(self, schema: Schema) -> Relation:
        """Return a weighted relation from the first type of the chain to the last.

        Raises:
            GraphRecError: For relations that do not follow one another.
        """
        chain = [schema.relation(name) for name in self.along]
        for one, other in pairwise(chain):
            if one.target != other.source:
                expected = f"a relation that leaves {one.target!r} after {one.name!r}"
                leaving = ", ".join(each.name for each in schema.leaving(one.target))
                raise GraphRecError("composed", expected, repr(other.name), leaving)
        return Relation(
            name=self.relation_name,
            source=chain[0].source,
            target=chain[-1].target,
            inverse=self.inverse or f"rev_{self.relation_name}",
            weighted=True,
            derived=True,
        )

    def edges(self, graph: Graph) -> EdgeList:
        """Multiply the adjacency matrices of the chain."""
        whole = _counts(graph, self.along[0])
        for name in self.along[1:]:
            whole = whole @ _counts(graph, name)
        chains = whole.tocoo()
        row, column = (part.astype(np.int64) for part in chains.coords)
        kept = chains.data >= self.least
        row, column, weight = row[kept], column[kept], chains.data[kept]
        order = np.lexsort((column, -weight, row))
        row, column, weight = row[order], column[order], weight[order]
        if self.top is not None:
            first = np.searchsorted(row, row)  # where the edges of each source begin
            near = np.arange(len(row)) - first < self.top
            row, column, weight = row[near], column[near], weight[near]
        return EdgeList(row, column, None, weight.astype(np.float32))


def _counts(graph: Graph, name: str) -> sp.csr_array:
    """Return how many edges of a relation join each pair of nodes: ``[n_s, n_t]``."""
    relation, edges = graph.schema.relation(name), graph.edges(name)
    source = (edges.source - graph.nodes(relation.source).start).numpy()
    target = (edges.target - graph.nodes(relation.target).start).numpy()
    shape = graph.num_nodes(relation.source), graph.num_nodes(relation.target)
    return sp.csr_array((np.ones(len(source)), (source, target)), shape=shape)

"""Where sampling starts: the nodes of a type, or the ends of the edges of a relation."""

import torch
from torch import Tensor

from graphrec_pt.core.errors import GraphRecError, did_you_mean
from graphrec_pt.graph.graph import Graph
from graphrec_pt.sampling.sampler import Sampler, Sets, kind_of_roots


def roots_of(
    graph: Graph, chosen: Sampler, where: str | None
) -> tuple[Tensor | Sets, Tensor | None]:
    """Return all roots of an epoch, and the edge to be hidden from each.

    Args:
        graph: What may be seen.
        chosen: What will sample: it takes nodes, pairs or sets.
        where: A node type: its nodes. A relation: its edges, as pairs for a sampler of pairs,
            else their sources; each edge is hidden from its own example. By default the first
            interaction relation for pairs, and the sources of it, once each, for nodes.

    Returns:
        int64 ``[n]`` or ``[n, 2]``, or Sets of one node; int64 ``[n]`` edge ids or None.

    Raises:
        GraphRecError: For names that the graph does not have, and for no roots at all.
    """
    kind, schema = kind_of_roots(chosen), graph.schema
    if where is None:
        relation = schema.interaction()
        where = relation.name if kind == "pairs" else relation.source
    exclude: Tensor | None = None
    if where in schema.relation_names:
        edges = graph.edges(where)
        roots = torch.stack([edges.source, edges.target], dim=1)
        roots = roots if kind == "pairs" else edges.source
        exclude = edges.edge
    elif where in schema.node_names:
        if kind == "pairs":
            hint = "one of " + ", ".join(schema.relation_names)
            raise GraphRecError("roots", "a relation for a sampler of pairs", repr(where), hint)
        owned = graph.nodes(where)
        roots = torch.arange(owned.start, owned.stop)
    else:
        known = (*schema.node_names, *schema.relation_names)
        hint = did_you_mean(where, known)
        raise GraphRecError("roots", "a node type or a relation", repr(where), hint)
    if not len(roots):
        raise GraphRecError("roots", f"at least one {where!r}", "none")
    if kind == "sets":
        return Sets(roots, torch.arange(len(roots) + 1)), exclude
    return roots, exclude

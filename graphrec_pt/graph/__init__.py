"""Floor 2: schema, graph, build, split, store and the bridges to other libraries."""

from graphrec_pt.graph import derivations, protocols, readers  # registers their members

__all__ = ["derivations", "protocols", "readers"]

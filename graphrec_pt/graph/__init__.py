"""Floor 2: schema, graph, store, split, protocols and derived relations."""

from graphrec_pt.graph import derive, group_protocols, protocols  # registers their members

__all__ = ["derive", "group_protocols", "protocols"]

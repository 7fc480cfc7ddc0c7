"""Floor 2: schema, graph, store, split, protocols and derived relations."""

# importing them registers their members
from graphrec_pt.graph import derivations, final_protocol, group_protocols, protocols

__all__ = ["derivations", "final_protocol", "group_protocols", "protocols"]

"""Floor 2: schema, graph, store, split, protocols and derived relations."""

from graphrec_pt.graph import derivations, latest_sets, protocols  # registers their members

__all__ = ["derivations", "latest_sets", "protocols"]

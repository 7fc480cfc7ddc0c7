"""Floor 2: schema, graph, store, split, protocols and derived relations."""

from graphrec_pt.graph import (
    composed,
    derivations,
    group_protocols,
    protocols,
)  # registers their members

__all__ = ["composed", "derivations", "group_protocols", "protocols"]

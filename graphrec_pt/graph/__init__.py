"""Floor 2: schema, graph, store, split, protocols and derived relations."""

from graphrec_pt.graph import (  # registers their members
    composed,
    derive,
    group_protocols,
    protocols,
)

__all__ = ["composed", "derive", "group_protocols", "protocols"]

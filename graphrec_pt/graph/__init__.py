"""Floor 2: schema, graph, store, split, protocols and derived relations."""

# Importing them registers their members.
from graphrec_pt.graph import (
    composed,
    derive,
    final_protocol,
    group_histories,
    group_protocols,
    list_protocol,
    protocols,
)

__all__ = [
    "composed",
    "derive",
    "final_protocol",
    "group_histories",
    "group_protocols",
    "list_protocol",
    "protocols",
]

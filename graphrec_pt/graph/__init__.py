"""Floor 2: schema, graph, build, split, store and the bridges to other libraries."""

from graphrec_pt.graph import (  # registers their members
    derivations,
    latest_sets,
    protocols,
    readers,
)

__all__ = ["derivations", "latest_sets", "protocols", "readers"]

"""Floor 5: linearizers, from samples to packed tokens; the vocabulary; batches."""

from graphrec_pt.tokens import (  # registers their members
    history,
    neighbor_set,
    node_set,
    path,
    returns,
    subgraph,
    template,
    text,
    tree,
)

__all__ = [
    "history",
    "neighbor_set",
    "node_set",
    "path",
    "returns",
    "subgraph",
    "template",
    "text",
    "tree",
]

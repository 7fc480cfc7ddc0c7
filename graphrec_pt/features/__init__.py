"""Floor 5: node featurizers, from nodes to vectors."""

# registers their members
from graphrec_pt.features import categorical, gnn, identity, number, static_text, text, vector

__all__ = ["categorical", "gnn", "identity", "number", "static_text", "text", "vector"]

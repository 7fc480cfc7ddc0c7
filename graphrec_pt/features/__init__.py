"""Floor 5: node featurizers, from nodes to vectors."""

from graphrec_pt.features import (  # register their members
    categorical,
    codes,
    gnn,
    identity,
    image,
    number,
    sequence,
    static_text,
    text,
    vector,
)

__all__ = [
    "categorical",
    "codes",
    "gnn",
    "identity",
    "image",
    "number",
    "sequence",
    "static_text",
    "text",
    "vector",
]

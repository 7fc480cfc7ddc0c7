"""Floor 6: node featurizers, from nodes to vectors."""

from graphrec_pt.features import (  # register their members
    categorical,
    codes,
    content,
    gnn,
    identity,
    image,
    linked,
    number,
    sequence,
    static_text,
    text,
    vector,
)

__all__ = [
    "categorical",
    "codes",
    "content",
    "gnn",
    "identity",
    "image",
    "linked",
    "number",
    "sequence",
    "static_text",
    "text",
    "vector",
]

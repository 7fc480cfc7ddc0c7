"""Floor 6: node featurizers, from nodes to vectors."""

from graphrec_pt.features import (  # noqa: F401 - registers their members
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
    static_vectors,
    text,
    vector,
)

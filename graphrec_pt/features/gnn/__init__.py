"""Graph neural networks over the whole graph: one sparse product per round of messages."""

from graphrec_pt.features.gnn import (  # noqa: F401 - registers their members
    compgcn,
    gat,
    hgt,
    rgcn,
    symmetric,
)

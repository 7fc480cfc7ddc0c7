"""Graph neural networks over the whole graph: one sparse product per round of messages."""

from graphrec_pt.features.gnn import (  # registers its members
    compgcn,
    gat,
    hgt,
    lightgcn,
    rgcn,
    transition,
)

__all__ = ["compgcn", "gat", "hgt", "lightgcn", "rgcn", "transition"]

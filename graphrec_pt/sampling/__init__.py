"""Floor 4: samplers, (graph, roots, key) to Paths or Subgraphs."""

from graphrec_pt.sampling import (  # registers their members
    both_ends,
    dialogue,
    ego,
    history,
    k_hop,
    mcn,
    metapath,
    node2vec,
    past_sets,
    path_subgraph,
    ppr,
    random_walk,
    session,
    set_of,
    tree,
    user_item_paths,
)

__all__ = [
    "both_ends",
    "dialogue",
    "ego",
    "history",
    "k_hop",
    "mcn",
    "metapath",
    "node2vec",
    "past_sets",
    "path_subgraph",
    "ppr",
    "random_walk",
    "session",
    "set_of",
    "tree",
    "user_item_paths",
]

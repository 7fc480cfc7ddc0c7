"""Floor 4: samplers, (graph, roots, key) to Paths or Subgraphs."""

from graphrec_pt.sampling import (  # noqa: F401 - registers their members
    both_ends,
    dialogue,
    history,
    impression,
    neighborhoods,
    past_sets,
    path_subgraph,
    ppr,
    user_item_paths,
    walks,
)

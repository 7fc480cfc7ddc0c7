"""What the paths are worth by which a path language model recommends."""

from dataclasses import replace

import torch

from graphrec_pt.evaluation.explanations import diversity, linking_diversity, valid_paths
from graphrec_pt.evaluation.lists import top_lists
from graphrec_pt.evaluation.path_scorer import PathScorer
from graphrec_pt.graph.split import Split

ASKED, TOP = 1000, 10
"""Users whose explanations are measured at most, and items of each."""


def explained(scorer: PathScorer, made: Split) -> dict[str, float]:
    """Return how many recommendations at test a path leads to, and how true the paths are.

    Of the best :data:`TOP` unseen items of at most :data:`ASKED` test users, evenly taken.

    Args:
        scorer: Made for the history at test.
        made: Split data.

    Returns:
        ``users``; ``reached``, the share of items that a path leads to; ``valid``, the share of
        these paths of which every edge is in the history graph; ``diversity`` and
        ``linking_diversity`` of the paths of a user, see
        :mod:`graphrec_pt.evaluation.explanations`.
    """
    nodes, shown = torch.unique(made.test.source), made.history("test")
    nodes = nodes[:: -(-len(nodes) // ASKED)].contiguous()
    k = min(TOP, shown.num_nodes(shown.schema.relation(made.relation).target))
    lists = top_lists(scorer, shown, made.relation, nodes, k)
    told = scorer.paths(nodes, lists.items.clamp(min=lists.start))
    of_user = replace(told, root=told.root // k, size=len(nodes))
    parts = {
        "valid": valid_paths(shown, told).double(),
        "diversity": diversity(of_user),
        "linking_diversity": linking_diversity(of_user),
    }
    return {
        "users": len(nodes),
        "reached": len(told) / max(int((lists.items >= 0).sum()), 1),
        **{name: float(values.nanmean()) if len(told) else 0.0 for name, values in parts.items()},
    }

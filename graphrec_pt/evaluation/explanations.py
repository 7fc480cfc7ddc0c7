"""Quality of explanation paths: faithfulness to the graph and diversity."""

from dataclasses import replace

import torch
from torch import Tensor

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.graph.graph import Graph
from graphrec_pt.graph.split import Split
from graphrec_pt.kernels.adjacency import member
from graphrec_pt.predict.lists import top_lists
from graphrec_pt.predict.paths import PathScorer
from graphrec_pt.sampling.sample import Paths

ASKED, TOP = 1000, 10
"""Users whose explanations are measured at most, and items of each."""


def valid_paths(graph: Graph, paths: Paths) -> Tensor:
    """Say which paths exist: every hop is an edge of the graph under the relation it names.

    Their share is the path faithfulness rate of PEARLM (arXiv 2310.16452). Nodes and relations are
    looked up, whatever the path says about positions.

    Args:
        graph: The history graph, which has no held-out edges.
        paths: P explanations; a path without hops explains nothing and is not valid.

    Returns:
        bool ``[P]``.
    """
    step = torch.arange(paths.relations.shape[1]) < paths.length.unsqueeze(1)  # [P, L]
    at, hop = step.nonzero(as_tuple=True)
    source, target = paths.nodes[at, hop], paths.nodes[at, hop + 1]
    relation = paths.relations[at, hop]
    exists = (source >= 0) & (source < graph.num_nodes())
    exists &= (target >= 0) & (target < graph.num_nodes())
    exists &= (relation >= 0) & (relation < len(graph.schema.relations))
    kept = exists.nonzero().squeeze(1)
    slot = _slot(graph)[graph.csr.node_type(source[kept]), relation[kept]]
    leaves = slot >= 0
    exists[kept[~leaves]] = False
    kept = kept[leaves]
    exists[kept] = member(graph.csr, source[kept], slot[leaves], target[kept])
    valid = paths.length > 0
    return valid.index_put((at[~exists],), torch.tensor(False))


def faithful(graph: Graph, paths: Paths, source: Tensor, item: Tensor) -> Tensor:
    """Say which recommendations have a valid path from their source to the recommended item.

    Args:
        graph: The history graph.
        paths: Explanations; ``paths.root`` is the row of the recommendation.
        source: int64 ``[B]`` global ids recommended to, ``B = paths.size``.
        item: int64 ``[B]`` global ids of the recommended items.

    Returns:
        bool ``[B]``.

    Raises:
        GraphRecError: When there is not one source and one item for each root.
    """
    if not len(source) == len(item) == paths.size:
        got = f"{len(source)} and {len(item)}"
        raise GraphRecError("faithful", f"{paths.size} sources and items", got)
    last = paths.nodes.gather(1, paths.length.clamp(min=0).unsqueeze(1)).squeeze(1)
    joins = (paths.nodes[:, 0] == source[paths.root]) & (last == item[paths.root])
    valid = joins & valid_paths(graph, paths)
    return torch.bincount(paths.root[valid], minlength=paths.size) > 0


def diversity(paths: Paths) -> Tensor:
    """Return the share of different relation patterns among the paths of each root.

    1 when no two explanations of a root use the same sequence of relations, ``1/n`` when all *n*
    do (path type diversity of Balloccu et al., SIGIR 2022).

    Returns:
        float64 ``[B]``, NaN for roots without paths.
    """
    return _share_of_different(paths.root, paths.relations, paths.size)


def linking_diversity(paths: Paths) -> Tensor:
    """Return the share of different inner nodes among the paths of each root.

    Inner nodes, between the root and the last node, are what an explanation shows ("because of
    this director"); paths of one hop show none.

    Returns:
        float64 ``[B]``, NaN for roots without inner nodes.
    """
    place = torch.arange(paths.nodes.shape[1])
    inner = (place > 0) & (place < paths.length.unsqueeze(1))  # [P, L+1]
    at, column = inner.nonzero(as_tuple=True)
    return _share_of_different(paths.root[at], paths.nodes[at, column].unsqueeze(1), paths.size)


def explained(scorer: PathScorer, made: Split) -> dict[str, float]:
    """Return the share of test recommendations with a path, and the quality of the paths.

    Measured on the best :data:`TOP` unseen items of at most :data:`ASKED` evenly spaced test users.

    Args:
        scorer: The scorer, made for the history graph of the test.
        made: The split.

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
    explanations = scorer.paths(nodes, lists.items.clamp(min=lists.start))
    of_user = replace(explanations, root=explanations.root // k, size=len(nodes))
    parts = {
        "valid": valid_paths(shown, explanations).double(),
        "diversity": diversity(of_user),
        "linking_diversity": linking_diversity(of_user),
    }
    return {
        "users": len(nodes),
        "reached": len(explanations) / max(int((lists.items >= 0).sum()), 1),
        **{
            name: float(values.nanmean()) if len(explanations) else 0.0
            for name, values in parts.items()
        },
    }


def _share_of_different(row: Tensor, what: Tensor, size: int) -> Tensor:
    pairs = torch.cat([row.unsqueeze(1), what], dim=1)
    different = torch.bincount(torch.unique(pairs, dim=0)[:, 0], minlength=size)
    return different.double() / torch.bincount(row, minlength=size)


def _slot(graph: Graph) -> Tensor:
    """Return the slot of each relation at each node type: int64 ``[S, R]``, −1 for none."""
    schema = graph.schema
    table = torch.full((len(schema.nodes), len(schema.relations)), -1)
    for index, relation in enumerate(schema.relations):
        table[schema.node_index(relation.source), index] = schema.slot(relation.name)
    return table

"""The nodes with the highest personalised PageRank."""

from dataclasses import replace

import torch
from pydantic import Field
from torch import Tensor

from graphrec_pt.core.key import Key
from graphrec_pt.graph.graph import Graph
from graphrec_pt.kernels.ppr import ppr
from graphrec_pt.sampling.edges import Inner, edge_rows, inner_edges, relations_of
from graphrec_pt.sampling.sample import Subgraphs
from graphrec_pt.sampling.sampler import check_exclude, check_roots, sampler


@sampler("ppr")
class PPR:
    """Subgraphs of the nodes that a walk ending with probability α most likely ends at.

    Scores are those of forward push (Andersen, Chung and Lang, FOCS 2006), below the exact
    PageRank by at most ``epsilon · degree``. A sequence is the root, then the others by falling
    score (equal ones by id). The parent of a node is the first token that leads to it on a
    shortest way from the root inside the sequence. Nothing is drawn.

    Args:
        size: Nodes to return beside the root.
        alpha: Probability to end at each step.
        epsilon: Residual left per edge; smaller is slower and more exact.
        edges: Also return the edges among the sampled nodes.
    """

    size: int = Field(32, ge=1)
    alpha: float = Field(0.15, gt=0, lt=1)
    epsilon: float = Field(1e-4, ge=1e-12, lt=1)
    edges: bool = False

    def sample(
        self, graph: Graph, roots: Tensor, key: Key, exclude: Tensor | None = None
    ) -> Subgraphs:
        """Return the most relevant nodes of roots of any type."""
        roots = check_roots("ppr", graph, roots)
        exclude = check_exclude("ppr", graph, len(roots), exclude)
        alpha, epsilon = self.alpha, self.epsilon
        nodes, scores = ppr(
            graph.csr, roots, self.size + 1, alpha=alpha, epsilon=epsilon, exclude=exclude
        )
        is_root = nodes == roots[:, None]  # [B, size + 1]
        others = (nodes >= 0) & ~is_root
        others &= others.cumsum(1) <= self.size
        node = torch.cat([roots[:, None], nodes], 1)
        kept = torch.cat([torch.ones_like(is_root[:, :1]), others], 1)
        score = torch.cat([(scores * is_root).sum(1, keepdim=True), scores], 1)[kept]
        count = kept.sum(1)
        ptr = torch.cat([count.new_zeros(1), count.cumsum(0)])
        inner = inner_edges(graph, node[kept], ptr, exclude)
        sample = _connected(graph, node[kept], ptr, score.float(), inner)
        return replace(sample, edges=edge_rows(graph, inner)) if self.edges else sample


def _connected(graph: Graph, node: Tensor, ptr: Tensor, score: Tensor, inner: Inner) -> Subgraphs:
    """Return the sequences with a parent for each token: a token one hop nearer to the root."""
    hop, via = torch.full_like(node, -1), torch.full_like(node, -1)
    hop[ptr[:-1]] = 0
    reached = 0
    while True:
        useful = ((hop[inner.source] == reached) & (hop[inner.target] < 0)).nonzero().squeeze(1)
        if not len(useful):
            break
        # Edges ascend by source token, so the least edge comes from the best-ranked predecessor.
        first = torch.full_like(node, len(inner.source))
        first = first.scatter_reduce(0, inner.target[useful], useful, "amin")
        reachable = first < len(inner.source)
        via[reachable] = first[reachable]
        reached += 1
        hop[reachable] = reached
    linked = via >= 0
    edge = via.clamp(min=0)
    parent, position = torch.full_like(node, -1), torch.full_like(node, -1)
    row = torch.arange(len(ptr) - 1, device=ptr.device).repeat_interleave(ptr.diff())
    parent[linked] = inner.source[edge[linked]] - ptr[row[linked]]
    position[linked] = inner.position[edge[linked]]
    return Subgraphs(
        node=node,
        ptr=ptr,
        parent=parent,
        relation=relations_of(graph, position, node[ptr[row] + parent.clamp(min=0)]),
        hop=hop,
        slot=(hop != 0).long(),
        score=score,
        position=position,
    )

"""Contextual neighbours of a node: the nodes that sampled walks reach most often."""

import torch
from pydantic import Field
from torch import Tensor

from graphrec_pt.core.key import Key
from graphrec_pt.graph.graph import Graph
from graphrec_pt.kernels.torch.segments import ranges
from graphrec_pt.sampling.checks import check_exclude, check_roots
from graphrec_pt.sampling.neighborhoods import Fanout, fan_out
from graphrec_pt.sampling.sample import Subgraphs
from graphrec_pt.sampling.sampler import sampler
from graphrec_pt.sampling.tree_batch import TreeBatch, first_of, plant


@sampler("mcn")
class MCN:
    """Mini-batch contextual neighbours of PMGT (Liu et al., ACM MM 2021).

    Hop k draws ``fanout[k]`` edges of every node reached at hop k − 1, with replacement and in
    proportion to their weights. A node reached ``f_k`` times at hop k of K has the score

        s(n) = Σ_k f_k(n) · (K − k + 1)

    and the `size` best make the sequence, after the root and by falling score (then by the hop
    where they were first reached, then by id). The root is not its own neighbour.

    Args:
        fanout: Draws per node for each hop; per node and relation when `relations` is given.
        size: Neighbours to return.
        relations: Relations to follow, each where it can leave; all pooled by default.
        weighted: Draw in proportion to the edge weights where the graph has any.
    """

    fanout: Fanout = (10, 5, 2)
    size: int = Field(10, ge=1)
    relations: tuple[str, ...] | None = None
    weighted: bool = True

    def sample(
        self, graph: Graph, roots: Tensor, key: Key, exclude: Tensor | None = None
    ) -> Subgraphs:
        """Return the contextual neighbours of roots of any type."""
        roots = check_roots("mcn", graph, roots)
        exclude = check_exclude("mcn", graph, len(roots), exclude)
        for name in self.relations or ():
            graph.schema.relation(name)
        forest = plant(roots)
        for hop, fanout in enumerate(self.fanout, 1):
            forest = fan_out(
                graph,
                forest,
                fanout,
                key.named("mcn"),
                relations=self.relations,
                replace=True,
                weighted=self.weighted and graph.csr.weight is not None,
                exclude=exclude,
            )
            if not bool((forest.hop == hop).any()):
                break
        return self._ranked(forest, graph).pack(graph, len(roots))

    def _ranked(self, forest: TreeBatch, graph: Graph) -> TreeBatch:
        """Return each node once per row with its score: the root first, then by falling score."""
        meeting = forest.row * graph.num_nodes() + forest.node
        tokens = first_of(meeting).nonzero().squeeze(1)  # the first meeting of each, [n]
        ordered, place = torch.sort(meeting[tokens])
        group = place[torch.searchsorted(ordered, meeting)]  # [T], into `tokens`
        worth = (len(self.fanout) + 1 - forest.hop).masked_fill(forest.hop == 0, 0)
        score = torch.zeros_like(tokens).index_add_(0, group, worth)
        is_root = forest.hop[tokens] == 0
        score = score.masked_fill(is_root, 0)
        first = torch.where(is_root, torch.iinfo(torch.int64).max, score)
        columns = forest.node[tokens], forest.hop[tokens], -first, forest.row[tokens]
        order = torch.arange(len(tokens), device=tokens.device)
        for column in columns:  # the last one matters most
            order = order[torch.argsort(column[order], stable=True)]
        forest = forest._replace(
            parent=torch.where(forest.parent < 0, -1, tokens[group[forest.parent.clamp(min=0)]]),
            score=score[group].float(),
        )
        chosen = tokens[order]
        count = torch.bincount(forest.row[chosen])
        rank = ranges(torch.zeros_like(count), count)[0]
        return forest.take(chosen[rank <= self.size])

"""Neighbourhoods of k hops with a fan-out per hop."""

from dataclasses import replace

from torch import Tensor

from graphrec_pt.core.key import Key
from graphrec_pt.graph.graph import Graph
from graphrec_pt.sampling.checks import check_exclude, check_roots
from graphrec_pt.sampling.edges import edge_rows, inner_edges
from graphrec_pt.sampling.events import Before, bounds_in_time
from graphrec_pt.sampling.fan import Fanout, fan_out
from graphrec_pt.sampling.forest import plant
from graphrec_pt.sampling.sample import Subgraphs
from graphrec_pt.sampling.sampler import sampler


@sampler("k_hop")
class KHop:
    """Sampled neighbourhoods, hop by hop (GraphSAGE, Hamilton et al., NeurIPS 2017).

    Args:
        fanout: Edges per node for each hop; per node *and relation* when `relations` is given.
        relations: Relations to follow, each where it can leave; all pooled by default.
        replace: Whether an edge may be drawn again.
        weighted: Choose in proportion to the edge weights.
        distinct: Keep a node once per sequence, where it was first reached.
        before: Only edges older than this time, at every hop; ``"exclude"``: older than the
            excluded edge of the root. Edges without a time are always allowed.
        edges: Also return the edges among the sampled nodes.
    """

    fanout: Fanout = (10, 10)
    relations: tuple[str, ...] | None = None
    replace: bool = False
    weighted: bool = False
    distinct: bool = True
    before: Before = None
    edges: bool = False

    def sample(
        self, graph: Graph, roots: Tensor, key: Key, exclude: Tensor | None = None
    ) -> Subgraphs:
        """Return the neighbourhoods of roots of any type."""
        roots = check_roots("k_hop", graph, roots)
        exclude = check_exclude("k_hop", graph, len(roots), exclude)
        bound = bounds_in_time("k_hop", graph, roots, self.before, exclude)
        for name in self.relations or ():
            graph.schema.relation(name)
        forest = plant(roots)
        for hop, fanout in enumerate(self.fanout, 1):
            forest = fan_out(
                graph,
                forest,
                fanout,
                key.named("k_hop"),
                relations=self.relations,
                replace=self.replace,
                weighted=self.weighted,
                bound=bound,
                exclude=exclude,
            )
            forest = forest.distinct(graph) if self.distinct else forest
            if not bool((forest.hop == hop).any()):
                break
        sample = forest.pack(graph, len(roots))
        if not self.edges:
            return sample
        inner = inner_edges(graph, sample.node, sample.ptr, exclude)
        return replace(sample, edges=edge_rows(graph, inner))

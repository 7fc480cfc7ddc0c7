"""Neighbourhoods of sets of nodes."""

from dataclasses import replace
from typing import ClassVar

from torch import Tensor

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.core.key import Key
from graphrec_pt.graph.graph import Graph
from graphrec_pt.sampling.checks import check_exclude, check_roots
from graphrec_pt.sampling.edges import edge_rows, inner_edges
from graphrec_pt.sampling.fan import Fanout, fan_out
from graphrec_pt.sampling.forest import plant
from graphrec_pt.sampling.sample import Subgraphs
from graphrec_pt.sampling.sampler import Kind, Sets, sampler


@sampler("ego")
class Ego:
    """The neighbourhood of an entity set, for knowledge prompts (UniCRS, Wang et al., KDD 2022).

    A sequence is the set (all hop 0), then what is met around it, each node once.

    Args:
        fanout: Edges per node for each hop; per node and relation when `relations` is given.
        relations: Relations to follow, each where it can leave; all pooled by default.
        weighted: Choose in proportion to the edge weights.
        edges: Also return the edges among the sampled nodes.
    """

    takes: ClassVar[Kind] = "sets"

    fanout: Fanout = (10,)
    relations: tuple[str, ...] | None = None
    weighted: bool = False
    edges: bool = False

    def sample(
        self, graph: Graph, roots: Sets, key: Key, exclude: Tensor | None = None
    ) -> Subgraphs:
        """Return the neighbourhoods of sets of nodes of any type; a set may be empty."""
        if not isinstance(roots, Sets):
            got = type(roots).__name__
            raise GraphRecError("ego", "roots as Sets", got, "Sets.of([[node, …], …])")
        nodes = check_roots("ego", graph, roots.node)
        exclude = check_exclude("ego", graph, len(roots), exclude)
        for name in self.relations or ():
            graph.schema.relation(name)
        forest = plant(nodes, roots.row().to(nodes.device)).distinct(graph)
        for hop, fanout in enumerate(self.fanout, 1):
            forest = fan_out(
                graph,
                forest,
                fanout,
                key.named("ego"),
                relations=self.relations,
                weighted=self.weighted,
                exclude=exclude,
            ).distinct(graph)
            if not bool((forest.hop == hop).any()):
                break
        sample = forest.pack(graph, len(roots))
        if not self.edges:
            return sample
        inner = inner_edges(graph, sample.node, sample.ptr, exclude)
        return replace(sample, edges=edge_rows(graph, inner))

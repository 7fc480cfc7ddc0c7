"""The ancestors of a node in an ontology."""

from pydantic import Field
from torch import Tensor

from graphrec_pt.core.key import Key
from graphrec_pt.graph.graph import Graph
from graphrec_pt.sampling.checks import check_exclude, check_roots
from graphrec_pt.sampling.fan import fan_out
from graphrec_pt.sampling.forest import plant
from graphrec_pt.sampling.sample import Subgraphs
from graphrec_pt.sampling.sampler import sampler


@sampler("tree")
class Tree:
    """A node and everything above it, as in the ontology embedding of G-BERT (Shang et al., 2019).

    A sequence is the root, then its ancestors hop by hop, each once. Nothing is drawn.

    Args:
        relations: Relations that lead upwards, e.g. ``["is_a"]``; each is followed where it can
            leave, so the levels may be of different types.
        depth: Levels at most.
    """

    relations: tuple[str, ...] = Field(min_length=1)
    depth: int = Field(16, ge=1)

    def sample(
        self, graph: Graph, roots: Tensor, key: Key, exclude: Tensor | None = None
    ) -> Subgraphs:
        """Return the ancestors of roots of any type."""
        roots = check_roots("tree", graph, roots)
        exclude = check_exclude("tree", graph, len(roots), exclude)
        for name in self.relations:
            graph.schema.relation(name)
        forest = plant(roots)
        for level in range(1, self.depth + 1):
            forest = fan_out(
                graph, forest, -1, key.named("tree"), relations=self.relations, exclude=exclude
            ).distinct(graph)
            if not bool((forest.hop == level).any()):
                break
        return forest.pack(graph, len(roots))

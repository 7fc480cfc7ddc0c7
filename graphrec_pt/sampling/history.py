"""Time-ordered histories."""

from dataclasses import replace

from pydantic import Field
from torch import Tensor

from graphrec_pt.core.key import Key
from graphrec_pt.graph.graph import Graph
from graphrec_pt.sampling.checks import check_exclude, check_relations, check_roots
from graphrec_pt.sampling.edges import edge_rows, inner_edges, places_of
from graphrec_pt.sampling.events import Before, bounds_in_time, last_events
from graphrec_pt.sampling.forest import plant
from graphrec_pt.sampling.sample import Subgraphs
from graphrec_pt.sampling.sampler import sampler


@sampler("history")
class History:
    """The last events of a root, oldest first: what sequential recommenders read.

    A sequence is the root and up to `window` neighbours, ascending by time (equal times in stored
    order), all with the root as parent. The slot of a neighbour is 1 + the place of its relation
    in `relations`. Nothing is drawn.

    Args:
        relations: Timed relations that leave one type, merged into one history; by default the
            first interaction relation.
        window: Events at most, the latest ones.
        before: Keep events strictly before this time; ``"exclude"``: before the excluded edge of
            each root, so that a training example sees only its past.
        edges: Also return the edges among the sampled nodes, which may bias attention. Relations
            derived from the events of a history join what stands side by side in it.
    """

    relations: tuple[str, ...] | None = None
    window: int = Field(50, ge=1)
    before: Before = None
    edges: bool = False

    def sample(
        self, graph: Graph, roots: Tensor, key: Key, exclude: Tensor | None = None
    ) -> Subgraphs:
        """Return the histories of roots of the type that the relations leave."""
        relations = check_relations("history", graph.schema, self.relations, timed=True)
        roots = check_roots("history", graph, roots, relations[0].source)
        exclude = check_exclude("history", graph, len(roots), exclude)
        bound = bounds_in_time("history", graph, roots, self.before, exclude)
        position, row = last_events(graph, roots, relations, self.window, bound, exclude)
        slot = places_of(graph, position, roots[row], relations)
        sample = plant(roots).grow(graph, row, position, slot).pack(graph, len(roots))
        if not self.edges:
            return sample
        inner = inner_edges(graph, sample.node, sample.ptr, exclude)
        return replace(sample, edges=edge_rows(graph, inner))

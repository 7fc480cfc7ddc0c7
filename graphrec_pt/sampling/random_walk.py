"""Random walks over every relation, with restarts, weights or rising times."""

from pydantic import Field
from torch import Tensor

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.core.key import Key
from graphrec_pt.graph.graph import Graph
from graphrec_pt.kernels.walk import walk
from graphrec_pt.sampling.checks import check_exclude, check_roots
from graphrec_pt.sampling.sample import Paths
from graphrec_pt.sampling.sampler import sampler
from graphrec_pt.sampling.walks import rows_of_walks, walked


@sampler("random_walk")
class RandomWalk:
    """Walks that choose among all edges of a node (DeepWalk, Perozzi et al., KDD 2014).

    Args:
        hops: L, edges per walk.
        repeats: Walks per root.
        restart: Probability that a hop stands at the root again (Tong et al., ICDM 2006).
        weighted: Choose in proportion to the edge weights.
        timed: Never take an edge older than the one before (Nguyen et al., WWW 2018).
    """

    hops: int = Field(4, ge=1)
    repeats: int = Field(1, ge=1)
    restart: float = Field(0.0, ge=0, le=1)
    weighted: bool = False
    timed: bool = False

    def sample(self, graph: Graph, roots: Tensor, key: Key, exclude: Tensor | None = None) -> Paths:
        """Return ``B · repeats`` walks from roots of any type."""
        roots = check_roots("random_walk", graph, roots)
        exclude = check_exclude("random_walk", graph, len(roots), exclude)
        if self.timed and not any(relation.timed for relation in graph.schema.relations):
            raise GraphRecError(
                "random_walk", "a relation with times", "none in the graph", "timed=False"
            )
        nodes, position = walk(
            graph.csr,
            roots,
            self.hops,
            key.named("random_walk"),
            repeats=self.repeats,
            restart=self.restart,
            weighted=self.weighted,
            timed=self.timed,
            exclude=exclude,
        )
        rows = rows_of_walks(len(roots), self.repeats, nodes.device)
        return walked(graph, nodes, position, rows, len(roots))

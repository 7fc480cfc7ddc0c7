"""Second-order random walks."""

from pydantic import Field
from torch import Tensor

from graphrec_pt.core.key import Key
from graphrec_pt.graph.graph import Graph
from graphrec_pt.kernels.walk import walk
from graphrec_pt.sampling.checks import check_exclude, check_roots
from graphrec_pt.sampling.sample import Paths
from graphrec_pt.sampling.sampler import sampler
from graphrec_pt.sampling.walks import rows_of_walks, walked


@sampler("node2vec")
class Node2Vec:
    """Walks biased towards or away from where they come from (Grover and Leskovec, KDD 2016).

    A hop from *u*, reached from *t*, takes an edge to *v* with probability ∝ ``weight · α``:
    α = 1/p when v = t, 1 when *t* has an edge to *v*, 1/q otherwise.

    Args:
        hops: L, edges per walk.
        repeats: Walks per root.
        p: Return parameter; below 1 walks go back often.
        q: In-out parameter; below 1 walks go far.
        weighted: Use the edge weights, else 1.
    """

    hops: int = Field(4, ge=1)
    repeats: int = Field(1, ge=1)
    p: float = Field(1.0, gt=0)
    q: float = Field(1.0, gt=0)
    weighted: bool = False

    def sample(self, graph: Graph, roots: Tensor, key: Key, exclude: Tensor | None = None) -> Paths:
        """Return ``B · repeats`` walks from roots of any type."""
        roots = check_roots("node2vec", graph, roots)
        nodes, position = walk(
            graph.csr,
            roots,
            self.hops,
            key.named("node2vec"),
            repeats=self.repeats,
            p=self.p,
            q=self.q,
            weighted=self.weighted,
            exclude=check_exclude("node2vec", graph, len(roots), exclude),
        )
        rows = rows_of_walks(len(roots), self.repeats, nodes.device)
        return walked(graph, nodes, position, rows, len(roots))

"""Random walks along a metapath."""

import torch
from pydantic import Field
from torch import Tensor

from graphrec_pt.core.key import Key
from graphrec_pt.graph.graph import Graph
from graphrec_pt.kernels.walk import walk
from graphrec_pt.sampling.checks import check_exclude, check_metapath, check_roots, check_timed
from graphrec_pt.sampling.sample import Paths
from graphrec_pt.sampling.sampler import sampler
from graphrec_pt.sampling.walks import rows_of_walks, walked


@sampler("metapath")
class Metapath:
    """Walks whose relations are given (metapath2vec, Dong et al., KDD 2017).

    Args:
        relations: Relation of each hop, e.g. ``["rates", "rev_rates", "rates"]``.
        cycles: How often the metapath is walked; it must lead back to its start when above 1.
        repeats: Walks per root.
        weighted: Choose in proportion to the edge weights.
        timed: Never take an edge older than the one before; every relation must have times.
    """

    relations: tuple[str, ...]
    cycles: int = Field(1, ge=1)
    repeats: int = Field(1, ge=1)
    weighted: bool = False
    timed: bool = False

    def sample(self, graph: Graph, roots: Tensor, key: Key, exclude: Tensor | None = None) -> Paths:
        """Return ``B · repeats`` walks from roots of the type that the first relation leaves."""
        metapath = check_metapath("metapath", graph.schema, self.relations * self.cycles)
        for relation in metapath if self.timed else ():
            check_timed("metapath", graph.schema, relation)
        roots = check_roots("metapath", graph, roots, metapath[0].source)
        slots = [graph.schema.slot(relation.name) for relation in metapath]
        nodes, position = walk(
            graph.csr,
            roots,
            len(metapath),
            key.named("metapath"),
            repeats=self.repeats,
            slots=torch.tensor(slots, device=roots.device),
            weighted=self.weighted,
            timed=self.timed,
            exclude=check_exclude("metapath", graph, len(roots), exclude),
        )
        rows = rows_of_walks(len(roots), self.repeats, nodes.device)
        return walked(graph, nodes, position, rows, len(roots), metapath)

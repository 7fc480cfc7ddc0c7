"""Walks along edges: uniform or weighted, along a metapath, or biased as in node2vec."""

import torch
from pydantic import Field
from torch import Tensor

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.core.key import Key
from graphrec_pt.graph.graph import Graph
from graphrec_pt.kernels.walk import walk, walk_along
from graphrec_pt.sampling.sample import Paths
from graphrec_pt.sampling.sampler import (
    check_exclude,
    check_metapath,
    check_roots,
    check_timed,
    sampler,
)


def walked(
    nodes: Tensor,
    position: Tensor,
    relations: Tensor,
    root: Tensor,
    size: int,
) -> Paths:
    """Return the walks of a kernel as :class:`~graphrec_pt.sampling.sample.Paths`.

    Args:
        nodes: int64 ``[P, L+1]``.
        position: int64 ``[P, L]``.
        relations: int64 ``[P, L]``.
        root: int64 ``[P]``, the row of the batch of each walk.
        size: B.
    """
    return Paths(
        nodes=nodes,
        relations=relations,
        length=(nodes[:, 1:] >= 0).sum(1),
        root=root,
        score=torch.zeros(len(nodes), device=nodes.device),
        position=position,
        size=size,
    )


def rows_of_walks(size: int, repeats: int, device: torch.device) -> Tensor:
    """Return the root of each walk when every root has `repeats`: int64 ``[size · repeats]``."""
    return torch.arange(size, device=device).repeat_interleave(repeats)


@sampler("random_walk")
class RandomWalk:
    """Walks over all edges of a node (DeepWalk, Perozzi et al., KDD 2014).

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
        nodes, position, relations = walk_along(
            graph.csr,
            roots,
            self.hops,
            key.named("random_walk"),
            graph.slot_relations,
            repeats=self.repeats,
            restart=self.restart,
            weighted=self.weighted,
            timed=self.timed,
            exclude=exclude,
        )
        rows = rows_of_walks(len(roots), self.repeats, nodes.device)
        return walked(nodes, position, relations, rows, len(roots))


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
        index = [graph.schema.relation_index(relation.name) for relation in metapath]
        relations = torch.where(position >= 0, position.new_tensor(index), -1)
        return walked(nodes, position, relations, rows, len(roots))


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
        nodes, position, relations = walk_along(
            graph.csr,
            roots,
            self.hops,
            key.named("node2vec"),
            graph.slot_relations,
            repeats=self.repeats,
            p=self.p,
            q=self.q,
            weighted=self.weighted,
            exclude=check_exclude("node2vec", graph, len(roots), exclude),
        )
        rows = rows_of_walks(len(roots), self.repeats, nodes.device)
        return walked(nodes, position, relations, rows, len(roots))

"""The best path instances between a user and an item, as one subgraph."""

from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.core.key import Key
from graphrec_pt.core.memo import Memo
from graphrec_pt.graph.graph import Graph
from graphrec_pt.graph.schema import Relation
from graphrec_pt.kernels.paths import edge_score, paths
from graphrec_pt.sampling.edges import Inner, edge_rows, inner_edges
from graphrec_pt.sampling.sample import Subgraphs
from graphrec_pt.sampling.sampler import (
    RootKind,
    check_exclude,
    check_metapath,
    check_roots,
    sampler,
)
from graphrec_pt.sampling.tree_batch import TreeBatch, first_of, plant

_scores: Memo[Tensor] = Memo()  # of the indices of a graph


@sampler("path_subgraph")
class PathSubgraph:
    """Interaction-specific subgraphs of CHEST (Wang et al., TOIS 2023), re-derived.

    For each metapath the `top` instances from user to item with the highest mean edge score are
    taken as in MCRec (Hu et al., KDD 2018). A sequence is user, item, then metapath by metapath
    (slot 1, 2, …) the nodes between them, hop by hop and best path first; a node stands once per
    metapath and hop, with the score of its best path. No instance uses an edge between user and
    item, and `edges` leaves those out, so that positives and negatives look alike. Nothing is
    drawn.

    Args:
        metapaths: Relation names of each metapath, two to four hops from user to item.
        top: Instances per metapath.
        cap: Neighbours that a node is expanded to, best first.
        vectors: A ``.npy`` file with one vector per node, ``[N, D]``: edges score the cosine of
            their ends; without it ``1 / √(degree · degree)``.
        edges: Also return the edges among the sampled nodes.
    """

    takes: ClassVar[RootKind] = "pairs"

    metapaths: tuple[tuple[str, ...], ...] = Field(min_length=1)
    top: int = Field(5, ge=1)
    cap: int = Field(10, ge=1)
    vectors: Path | None = None
    edges: bool = False

    def sample(
        self, graph: Graph, roots: Tensor, key: Key, exclude: Tensor | None = None
    ) -> Subgraphs:
        """Return one subgraph per pair of roots (user, item): int64 ``[B, 2]``."""
        metapaths = self._checked(graph)
        if not isinstance(roots, Tensor) or roots.ndim != 2 or roots.shape[1] != 2:
            got = list(roots.shape) if isinstance(roots, Tensor) else type(roots).__name__
            raise GraphRecError("path_subgraph", "pairs of roots, int64 [B, 2]", got)
        user = check_roots("path_subgraph", graph, roots[:, 0], metapaths[0][0].source)
        item = check_roots("path_subgraph", graph, roots[:, 1], metapaths[0][-1].target)
        exclude = check_exclude("path_subgraph", graph, len(roots), exclude)
        rows = torch.arange(len(roots), device=user.device)
        ends = torch.stack([user, item], 1).reshape(-1)  # [2B]
        forest = plant(ends, rows.repeat_interleave(2))
        score = _edge_scores(graph, self.vectors)
        for slot, metapath in enumerate(metapaths, 1):
            names = [relation.name for relation in metapath]
            back = metapath[-1].inverse
            instances = paths(
                graph.csr,
                user,
                item,
                [graph.schema.slot(name) for name in names],
                self.top,
                score=score,
                back=None if back is None else graph.schema.slot(back),
                cap=self.cap,
                exclude=exclude,
            )
            kept = instances.nodes[:, :, 0] >= 0  # [B, top]
            row = kept.nonzero()[:, 0]
            forest = _merged(
                graph, forest, slot, row, instances.position[kept], instances.score[kept]
            )
        sample = forest.pack(graph, len(roots))
        if not self.edges:
            return sample
        inner = inner_edges(graph, sample.node, sample.ptr, exclude)
        between = (sample.hop[inner.source] == 0) & (sample.hop[inner.target] == 0)
        inner = Inner(*(column[~between] for column in inner))
        return replace(sample, edges=edge_rows(graph, inner))

    def _checked(self, graph: Graph) -> list[list[Relation]]:
        who, first = "path_subgraph", self.metapaths[0]
        metapaths = [check_metapath(who, graph.schema, names) for names in self.metapaths]
        ends = metapaths[0][0].source, metapaths[0][-1].target
        for names, metapath in zip(self.metapaths, metapaths, strict=True):
            if not 2 <= len(names) <= 4:
                raise GraphRecError(who, "metapaths of 2 to 4 hops", " ".join(names))
            if (metapath[0].source, metapath[-1].target) != ends:
                expected = f"metapaths from {ends[0]!r} to {ends[1]!r} like {' '.join(first)}"
                raise GraphRecError(who, expected, " ".join(names))
            if len(names) > 2 and metapath[-1].inverse is None:
                expected = "a last relation with an inverse, to come back from the item"
                raise GraphRecError(who, expected, repr(names[-1]))
        return metapaths


def _merged(
    graph: Graph, forest: TreeBatch, slot: int, row: Tensor, position: Tensor, score: Tensor
) -> TreeBatch:
    """Return the forest with the inner nodes of path instances, once per row and hop.

    Args:
        graph: The graph.
        forest: User and item of every row come first.
        slot: Number of the metapath.
        row: int64 ``[P]``.
        position: int64 ``[P, L]``.
        score: float32 ``[P]``, falling inside a row.
    """
    parent = 2 * row  # the user's token
    for hop in range(position.shape[1] - 1):
        node = graph.csr.indices[position[:, hop]].long()
        meeting = row * graph.num_nodes() + node
        first = first_of(meeting)
        base = len(forest.row)
        forest = forest.grow(
            graph,
            parent[first],
            position[first, hop],
            torch.full_like(parent[first], slot),
            score[first],
        )
        ordered, place = torch.sort(meeting[first])
        parent = base + place[torch.searchsorted(ordered, meeting)]
    return forest


def _edge_scores(graph: Graph, vectors: Path | None) -> Tensor:
    """Return one score per edge, kept as long as the graph's indices."""

    def made() -> Tensor:
        values = None
        if vectors is not None:
            try:
                values = torch.from_numpy(np.load(vectors, mmap_mode="c"))
            except (OSError, ValueError) as error:
                raise GraphRecError(str(vectors), "a .npy file of vectors [N, D]", error) from error
        return edge_score(graph.csr, values)

    return _scores(graph.csr.indices, vectors, made)

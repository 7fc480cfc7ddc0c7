"""Scores of edges by which paths are selected: similarity of the ends, or inverse degree."""

import torch
from torch import Tensor

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.core.memo import Memo
from graphrec_pt.kernels.csr import SegmentedCSR
from graphrec_pt.kernels.sparse import sddmm
from graphrec_pt.kernels.transposed import owners

_orders: Memo[Tensor] = Memo()  # of the scores


def edge_score(csr: SegmentedCSR, vectors: Tensor | None = None) -> Tensor:
    """Return one score per edge: cosine of its ends, or ``1 / √(degree(u) · degree(v))``.

    Args:
        csr: The graph.
        vectors: float32 ``[N, D]``, one vector per node; None scores by degree over all
            relations.

    Returns:
        float32 ``[E]``.

    Raises:
        GraphRecError: When the number of vectors differs from the number of nodes.
    """
    nodes = torch.arange(csr.num_nodes, device=csr.indices.device)
    start, end = csr.bounds(nodes)
    if vectors is None:
        scale = (end - start).clamp(min=1).float().rsqrt()
        return scale[owners(torch.cat([start, end[-1:]]), csr.num_edges)] * scale[csr.indices]
    if vectors.ndim != 2 or len(vectors) != csr.num_nodes:
        raise GraphRecError("edge_score", f"vectors [{csr.num_nodes}, D]", list(vectors.shape))
    unit = torch.nn.functional.normalize(vectors.detach().float(), dim=1)
    return sddmm(torch.cat([start, end[-1:]]), csr.indices, unit, unit)


def best_first(csr: SegmentedCSR, score: Tensor) -> Tensor:
    """Return the edges of every segment by falling score, then target, then position.

    Args:
        csr: The graph.
        score: float32 ``[E]``; the order is kept while it lives.

    Returns:
        int64 ``[E]``, positions.

    Raises:
        GraphRecError: When the number of scores differs from the number of edges, or one is not
            finite.
    """
    if score.dtype != torch.float32 or score.shape != csr.indices.shape:
        got = f"{score.dtype} {list(score.shape)}"
        raise GraphRecError("best_first", f"score float32 [{csr.num_edges}]", got)

    def made() -> Tensor:
        if not bool(torch.isfinite(score).all()):
            raise GraphRecError("best_first", "finite scores", "inf or NaN")
        order = torch.sort(csr.indices, stable=True).indices
        order = order[torch.sort(score[order], stable=True, descending=True).indices]
        segment = owners(csr.segment, csr.num_edges)
        return order[torch.sort(segment[order], stable=True).indices]

    return _orders(score, None, made, given=(csr.segment,))

"""The k best candidates of many sources, a block of sources and items at a time."""

from dataclasses import dataclass

import torch
from torch import Tensor

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.graph.graph import Graph
from graphrec_pt.kernels.dispatch import body
from graphrec_pt.kernels.topk import topk
from graphrec_pt.kernels.torch.segments import ranges
from graphrec_pt.predict.scorer import Factorised, Scorer, checked_scores
from graphrec_pt.predict.seen import SeenPolicy, seen_pairs

CELLS = 1 << 22
"""Scores that exist at once: 16 MB in float32."""
ITEMS = 1 << 16
"""Items whose inner products with a block of sources exist at once."""


@dataclass(frozen=True, eq=False)
class Lists:
    """The k best candidates of some sources.

    Args:
        nodes: int64 ``[Q]`` global ids of the sources.
        items: int64 ``[Q, k]`` global ids, best first; −1 where fewer candidates are left.
        score: ``[Q, k]``, descending; −∞ where `items` is −1.
        catalogue: How many candidates there are.
        start: Global id of the first of them.
    """

    nodes: Tensor
    items: Tensor
    score: Tensor
    catalogue: int
    start: int

    def counts(self) -> Tensor:
        """Return how often each candidate is recommended: int64 ``[V]``."""
        return torch.bincount(self.items[self.items >= 0] - self.start, minlength=self.catalogue)


def top_lists(
    scorer: Scorer,
    history: Graph,
    relation: str,
    nodes: Tensor,
    k: int,
    *,
    seen: SeenPolicy = "mask",
    cells: int = CELLS,
) -> Lists:
    """Return the best candidates of each source; equal scores go to the lower id.

    Args:
        scorer: The system that recommends.
        history: The history graph; ``"mask"`` leaves its items out.
        relation: The relation to recommend for.
        nodes: int64 ``[Q]`` global ids.
        k: How many.
        seen: Whether items that a source has interacted with are left out or kept.
        cells: Most scores held in memory at once; at least one row is always scored.

    Raises:
        GraphRecError: When `k` is below 1 or larger than the catalogue, and for scores of a wrong
            shape or with NaN.
    """
    left_out = seen_pairs(history, relation, nodes) if seen == "mask" else None
    return best_of(scorer, history, relation, nodes, k, left_out=left_out, cells=cells)


def best_of(
    scorer: Scorer,
    history: Graph,
    relation: str,
    nodes: Tensor,
    k: int,
    *,
    left_out: tuple[Tensor, Tensor] | None = None,
    among: Tensor | None = None,
    cells: int = CELLS,
) -> Lists:
    """Return the best candidates of each source, as :func:`top_lists`.

    Args:
        scorer: The system that recommends.
        history: The graph of the candidates.
        relation: The relation to recommend for.
        nodes: int64 ``[Q]``, sources as the scorer numbers them.
        k: How many.
        left_out: int64 ``[Q + 1]`` and ``[S]``, candidates that a source must not get, counted from
            the first of their type.
        among: bool ``[V]``, the allowed candidates; all by default.
        cells: Most scores held in memory at once; at least one row is always scored.
    """
    catalogue = history.nodes(history.schema.relation(relation).target)
    if not 1 <= k <= len(catalogue):
        raise GraphRecError("top_lists", f"1 <= k <= {len(catalogue)}, the catalogue", k)
    products = isinstance(scorer, Factorised) and scorer.bias is None and among is None
    rows = max(cells // min(len(catalogue), ITEMS if products else len(catalogue)), 1)
    scored, items_of = [torch.empty(0, k)], [torch.empty(0, k, dtype=torch.int64)]
    for low in range(0, len(nodes), rows):
        block = nodes[low : low + rows]
        refused = None if left_out is None else _rows_of(left_out, low, low + len(block))
        if isinstance(scorer, Factorised) and products:
            if refused is not None:
                refused = (refused[0].to(scorer.table.device), refused[1].to(scorer.table.device))
            score, best = topk(scorer.of(block), scorer.table, k, seen=refused, block=ITEMS)
        else:
            scores = checked_scores(scorer, block, history, len(catalogue))
            score, best = _best_of_scores(scores, k, refused, among)
        scored.append(score.cpu())
        items_of.append(best.cpu())
    items, scores = torch.cat(items_of), torch.cat(scored[1:] or scored)
    items = torch.where(items < 0, items, items + catalogue.start)
    return Lists(nodes, items, scores, len(catalogue), catalogue.start)


def _rows_of(pairs: tuple[Tensor, Tensor], low: int, high: int) -> tuple[Tensor, Tensor]:
    """Return the pairs of some rows, with pointers of their own."""
    ptr, column = pairs
    return ptr[low : high + 1] - ptr[low], column[int(ptr[low]) : int(ptr[high])]


def _best_of_scores(
    scores: Tensor, k: int, left_out: tuple[Tensor, Tensor] | None, among: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Return the k best of scores ``[B, V]`` and where they stand: ``[B, k]`` each."""
    worst = scores.new_tensor(-torch.inf)
    if left_out is not None:
        owner = ranges(left_out[0][:-1], left_out[0].diff())[1].to(scores.device)
        scores = scores.index_put((owner, left_out[1].to(scores.device)), worst)
    if among is not None:
        scores = scores.masked_fill(~among.to(scores.device), -torch.inf)
    score = scores.new_full((len(scores), k), -torch.inf)
    best = torch.full_like(score, -1, dtype=torch.int64)
    score, best = body("topk", scores)(scores.contiguous(), 0, score, best)
    return score, best

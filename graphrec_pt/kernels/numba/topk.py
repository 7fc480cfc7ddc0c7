"""Best k by insertion, and ranks by counting, queries in parallel."""

from typing import Any

import numpy as np
import torch
from numba import prange
from torch import Tensor

from graphrec_pt.kernels.numba.compile import kernel
from graphrec_pt.kernels.numba.segments import array


@kernel(parallel=True)
def _merge(part: Any, low: Any, score: Any, best: Any) -> None:
    k = score.shape[1]
    for b in prange(part.shape[0]):
        worst = score[b, k - 1]
        for j in range(part.shape[1]):
            value = part[b, j]
            if value > worst:  # an equal score of a later item stays out
                at = k - 1
                while at > 0 and score[b, at - 1] < value:
                    score[b, at], best[b, at] = score[b, at - 1], best[b, at - 1]
                    at -= 1
                score[b, at], best[b, at] = value, low + j
                worst = score[b, k - 1]


def topk(part: Tensor, low: int, score: Tensor, best: Tensor) -> tuple[Tensor, Tensor]:
    """Merge a block of scores in place; see :func:`graphrec_pt.kernels.topk.topk`."""
    _merge(array(part), np.int64(low), array(score), array(best))
    return score, best


@kernel(parallel=True)
def _rank(
    scores: Any, row: Any, column: Any, ptr: Any, seen: Any, rank: Any, candidates: Any
) -> None:
    for n in prange(row.shape[0]):
        r = row[n]
        mine = scores[r, column[n]]
        above, below, equal = 0, 0, 0
        for v in range(scores.shape[1]):
            score = scores[r, v]
            above += score > mine
            below += score < mine
            equal += score == mine
        comparable = above + below + equal == scores.shape[1]  # NaN is none of the three
        left_out = False
        for s in range(ptr[r], ptr[r + 1]):
            score = scores[r, seen[s]]
            above -= score > mine
            below -= score < mine
            left_out |= seen[s] == column[n]
        candidates[n] = scores.shape[1] - (ptr[r + 1] - ptr[r])
        rank[n] = (candidates[n] + 1 + above - below) / 2
        if left_out:
            rank[n] = np.inf
        if not comparable:
            rank[n] = np.nan


def rank(
    scores: Tensor, row: Tensor, column: Tensor, ptr: Tensor, seen: Tensor
) -> tuple[Tensor, Tensor]:
    """Return ranks and candidates; see :func:`graphrec_pt.kernels.topk.rank`."""
    ranks, candidates = np.empty(len(row)), np.empty(len(row), np.int64)
    what = array(scores), array(row), array(column), array(ptr), array(seen)
    _rank(*what, ranks, candidates)
    return torch.from_numpy(ranks), torch.from_numpy(candidates)

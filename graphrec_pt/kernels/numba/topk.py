"""Best k by insertion: most scores fail one comparison with the worst kept."""

from typing import Any

import numpy as np
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
    """Merge a block of scores in place; see :func:`graphrec_pt.kernels.torch.topk.topk`."""
    _merge(array(part), np.int64(low), array(score), array(best))
    return score, best

"""Best k by k rounds of maximum and removal: one program per query, its scores in registers."""

import torch
import triton
import triton.language as tl
from torch import Tensor

LANES, MOST_WARPS = 512, 16  # scores that a warp keeps in registers


@triton.jit  # type: ignore[untyped-decorator]
def _select(
    scores: tl.tensor,
    items: tl.tensor,
    score: tl.tensor,
    best: tl.tensor,
    width: tl.tensor,
    k: tl.tensor,
    size: tl.constexpr,
) -> None:
    b = tl.program_id(0).to(tl.int64)
    place = tl.arange(0, size)
    left = tl.load(scores + b * width + place, mask=place < width, other=float("-inf"))
    for rank in range(k):
        top = tl.max(left, axis=0)
        # The first place that holds the maximum: places ascend by item.
        at = tl.min(tl.where(left == top, place, size), axis=0)
        item = tl.load(items + b * width + at)
        tl.store(score + b * k + rank, top)
        tl.store(best + b * k + rank, tl.where(top == float("-inf"), -1, item))
        left = tl.where(place == at, float("-inf"), left)


def topk(part: Tensor, low: int, score: Tensor, best: Tensor) -> tuple[Tensor, Tensor]:
    """Merge a block of scores; see :func:`graphrec_pt.kernels.topk.topk`."""
    item = torch.arange(low, low + part.shape[1], device=part.device).expand_as(part)
    scores = torch.cat([score, part], dim=1)  # [B, k + block]
    items = torch.cat([best, item], dim=1)
    rows, k = score.shape
    score, best = torch.empty_like(score), torch.empty_like(best)
    if rows:
        width = scores.shape[1]
        size = triton.next_power_of_2(width)
        warps = min(max(size // LANES, 1), MOST_WARPS)
        _select[(rows,)](
            scores, items, score, best, width, k, size, num_warps=warps, enable_fp_fusion=False
        )
    return score, best

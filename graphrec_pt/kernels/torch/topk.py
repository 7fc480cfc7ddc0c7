"""Best k by a stable sort: equal scores keep their order, lower items first."""

import torch
from torch import Tensor


def topk(part: Tensor, low: int, score: Tensor, best: Tensor) -> tuple[Tensor, Tensor]:
    """Merge a block of scores into the best so far.

    Args:
        part: ``[B, block]`` scores of the items from `low` on; −∞ for items to leave out.
        low: First item of the block; every item in `best` is lower.
        score: ``[B, k]``, falling, −∞ past the end.
        best: int64 ``[B, k]``, −1 past the end.

    Returns:
        New score and best.
    """
    k = score.shape[1]
    item = torch.arange(low, low + part.shape[1], device=part.device).expand_as(part)
    scores = torch.cat([score, part], dim=1)  # [B, k + block]
    items = torch.cat([best, item], dim=1)
    falling = torch.sort(scores, dim=1, descending=True, stable=True)
    score = falling.values[:, :k]
    best = items.gather(1, falling.indices[:, :k])
    return score, best.masked_fill(score == float("-inf"), -1)

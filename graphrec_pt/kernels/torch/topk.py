"""Best k by sorting, and ranks by counting."""

import torch
from torch import Tensor

from graphrec_pt.kernels.torch.segments import ranges


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


def rank(
    scores: Tensor, row: Tensor, column: Tensor, ptr: Tensor, seen: Tensor
) -> tuple[Tensor, Tensor]:
    """Return ranks and how many candidates there were.

    With a candidates above, b below and e others equal, ``C = a + b + e + 1``, the rank
    ``1 + a + e/2`` is ``(C + 1 + a − b) / 2``: so counting a and b is enough.

    Args:
        scores: ``[B, V]``.
        row: int64 ``[n]``.
        column: int64 ``[n]``.
        ptr: int64 ``[B+1]``.
        seen: int64 ``[S]``.

    Returns:
        float64 ``[n]`` and int64 ``[n]``, on the CPU.
    """
    row, column, ptr, seen = (part.cpu() for part in (row, column, ptr, seen))
    at, device = row.to(scores.device), scores.device
    mine = scores[at, column.to(device)]
    balance = torch.empty(len(row), dtype=torch.int64)
    for part in torch.split(torch.arange(len(row)), max(len(scores), 1)):
        among, score = scores[at[part]], mine[part].unsqueeze(1)  # [b, V]
        balance[part] = ((among > score).sum(1) - (among < score).sum(1)).cpu()
    count = ptr.diff()[row]
    position, target = ranges(ptr[row], count)
    theirs = scores[at[target], seen[position].to(device)]
    score = mine[target.to(device)]
    sides = (theirs > score).long() - (theirs < score).long()
    balance.index_add_(0, target, -sides.cpu())
    candidates = scores.shape[1] - count
    ranks = (candidates + 1 + balance).double() / 2
    ranks[target[seen[position] == column[target]]] = torch.inf
    ranks[scores.isnan().any(1).cpu()[row]] = torch.nan
    return ranks, candidates

"""Segment arithmetic on tensors: binary search in many segments, ranges laid end to end."""

import torch
from torch import Tensor


def lower_bound(ascending: Tensor, start: Tensor, end: Tensor, value: Tensor) -> Tensor:
    """Return the first place in each ``[start, end)`` that is not below `value`, else `end`.

    Args:
        ascending: ``[E]``, ascending inside every range.
        start: int64 ``[K]``.
        end: int64 ``[K]``.
        value: Integers ``[K]``.

    Returns:
        int64 ``[K]``.
    """
    low, high = start, end
    longest = int((end - start).max()) if len(start) else 0
    for _ in range(longest.bit_length()):
        middle = (low + high) >> 1
        open_ = low < high
        below = open_ & (ascending[torch.where(open_, middle, 0)] < value)
        low = torch.where(below, middle + 1, low)
        high = torch.where(open_ & ~below, middle, high)
    return low


def ranges(start: Tensor, length: Tensor) -> tuple[Tensor, Tensor]:
    """Return the integers of every range and the range each belongs to.

    Args:
        start: int64 ``[K]``.
        length: int64 ``[K]``, not negative.

    Returns:
        int64 ``[M]`` members and int64 ``[M]`` owners, ``M = Σ length``.
    """
    owner = torch.arange(len(start), device=start.device).repeat_interleave(length)
    first = length.cumsum(0) - length
    rank = torch.arange(len(owner), device=start.device) - first[owner]
    return start[owner] + rank, owner

"""Where chosen candidates stand among a block of scores, expected under ties."""

from typing import NamedTuple

import torch
from torch import Tensor

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.kernels.dispatch import body
from graphrec_pt.kernels.sparse import check_ptr


class Ranked(NamedTuple):
    """Where targets stand.

    Args:
        rank: float64 ``[n]`` on the CPU, from 1; ∞ for a target that is left out, NaN where a score
            of its row is NaN.
        candidates: int64 ``[n]`` on the CPU, how many it was ranked among.
    """

    rank: Tensor
    candidates: Tensor


def rank(
    scores: Tensor, row: Tensor, column: Tensor, seen: tuple[Tensor, Tensor] | None = None
) -> Ranked:
    """Return the rank of each target in its row, as expected when ties are broken at random.

    ``rank = 1 + #{v : s_v > s} + ½ #{v : s_v = s}`` over the other candidates. One pass over the
    scores; nothing is written into them, and what is left out is taken off afterwards.

    Args:
        scores: float32 or float64 ``[B, V]``; −∞ is a score like others.
        row: int64 ``[n]``.
        column: int64 ``[n]``, the targets.
        seen: (ptr int64 ``[B+1]``, column int64 ``[S]``), different candidates of each row that are
            left out; None for nothing.

    Raises:
        GraphRecError: For shapes and types that do not fit, and places outside of the scores.
    """
    floats = scores.dtype in (torch.float32, torch.float64)
    if scores.ndim != 2 or not floats or row.shape != column.shape or row.ndim != 1:
        got = f"{scores.dtype} {list(scores.shape)}, {list(row.shape)} and {list(column.shape)}"
        raise GraphRecError("rank", "float scores [B, V], row [n] and column [n]", got)
    _check_inside("row", row, scores.shape[0])
    _check_inside("column", column, scores.shape[1])
    if seen is None:
        seen = torch.zeros(len(scores) + 1, dtype=torch.int64), column[:0]
    if len(seen[0]) != len(scores) + 1:
        raise GraphRecError("rank", f"seen ptr [{len(scores) + 1}]", list(seen[0].shape))
    check_ptr("rank", seen[0], len(seen[1]))
    _check_inside("seen", seen[1], scores.shape[1])
    found = Ranked(*body("rank", scores)(scores, row, column, *seen))
    return found


def _check_inside(name: str, place: Tensor, size: int) -> None:
    if len(place) and (int(place.min()) < 0 or int(place.max()) >= size):
        wrong = place[(place < 0) | (place >= size)]
        raise GraphRecError("rank", f"{name} in [0, {size})", int(wrong[0]))

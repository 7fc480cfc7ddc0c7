"""Who sees whom in attention over packed sequences, and what is added to the scores."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

Bias = tuple[Tensor, Tensor, Tensor] | Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True, eq=False, slots=True, weakref_slot=True)
class Sight:
    """Who sees whom inside the sequences of one batch: i sees j when ``rank[j] <= reach[i]``.

    Made by :func:`graphrec_pt.kernels.attention.seen`; layers that share one share its masks.

    Args:
        rank: int64 ``[T]``; None when everybody sees everybody.
        reach: int64 ``[T]``.
        causal: Whether this is the plain order of tokens, for which there is a faster way.
        blind: Whether a token may see nothing at all.
    """

    rank: Tensor | None = None
    reach: Tensor | None = None
    causal: bool = False
    blind: bool = False

"""Attention masks over packed sequences, and the type of an added bias."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

Bias = tuple[Tensor, Tensor, Tensor] | Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True, eq=False, slots=True, weakref_slot=True)
class Sight:
    """The attention mask inside the sequences of a batch: i sees j when ``rank[j] <= reach[i]``.

    Made by :func:`graphrec_pt.kernels.attention.seen`; layers that share one share its masks.

    Args:
        rank: int64 ``[T]``; None when every token sees all of its sequence.
        reach: int64 ``[T]``.
        causal: Whether this is the plain causal mask, for which there are faster kernels.
        blind: Whether some token may see no token.
    """

    rank: Tensor | None = None
    reach: Tensor | None = None
    causal: bool = False
    blind: bool = False

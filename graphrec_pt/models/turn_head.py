"""A learned term for the links between what a dialogue named and an item."""

import torch
from torch import Generator, Tensor, nn

from graphrec_pt.models.head import Head, head

LINK_SCALE = 100.0
"""At first, a link of weight K counts as ``log(1 + 100 K)``."""


@head("turn")
class TurnHead(Head):
    """A learned term for links of C kinds: ``Σ_c (a_c + g_c · h) log(1 + e^{b_c} K_c)``.

    At first all kinds count alike, whatever the state.

    Args:
        width: D.
        channels: C.
    """

    def __init__(self, width: int, channels: int) -> None:
        super().__init__()
        self.width, self.channels = width, channels
        self.log_scale = nn.Parameter(torch.zeros(channels))
        self.direct = nn.Parameter(torch.zeros(channels))
        self.gate = nn.Linear(width, channels, bias=False)

    def options(self) -> dict[str, int]:
        """Return the arguments that make a network of the same shape."""
        return {"width": self.width, "channels": self.channels}

    def initialise(self, draw: Generator) -> None:
        """Start with equal weights that no state changes."""
        self.log_scale.fill_(LINK_SCALE).log_()
        self.direct.fill_(1.0)
        self.gate.weight.zero_()

    def forward(self, state: Tensor, row: Tensor, value: Tensor) -> Tensor:
        """Return the term of each linked item: ``[N]``.

        Args:
            state: ``[n, D]``, h.
            row: int64 ``[N]``, the state that each item belongs to.
            value: float32 ``[N, C]``, K.
        """
        strength = self.direct + self.gate(state)  # [n, C]
        term: Tensor = (strength[row] * torch.log1p(value * self.log_scale.exp())).sum(1)
        return term

"""Maps from the width of a pre-trained encoder to the width of the model."""

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

Map = Literal["linear", "mlp", "whitening", "experts"]
EXPERTS = 8  # of UniSRec


def projection(kind: Map, inputs: int, width: int) -> nn.Module:
    """Return a module from ``[n, F]`` to ``[n, D]``.

    Args:
        kind: ``"linear"``; ``"mlp"``, two layers with GELU; ``"whitening"``, ``(x − b) W``;
            ``"experts"``, eight of them gated (UniSRec, Hou et al., KDD 2022).
        inputs: F.
        width: D.
    """
    if kind == "linear":
        return nn.Linear(inputs, width)
    if kind == "mlp":
        return nn.Sequential(nn.Linear(inputs, width), nn.GELU(), nn.Linear(width, width))
    return Whitening(inputs, width) if kind == "whitening" else Experts(inputs, width)


class Whitening(nn.Module):
    """Parametric whitening: ``(x − b) W``, which takes out a common direction of text vectors.

    Args:
        inputs: F.
        width: D.
    """

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        self.center = nn.Parameter(torch.zeros(inputs))
        self.map = nn.Linear(inputs, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return ``[n, D]`` for ``[n, F]``."""
        mapped: Tensor = self.map(x - self.center)
        return mapped


class Experts(nn.Module):
    """Mixture of whitenings: ``Σ_k g_k (x − b_k) W_k`` with ``g = softmax(x W_g + ε ⊙ s(x W_s))``.

    ε is normal noise in training and 0 else, s is softplus: noisy gates (Shazeer et al.,
    "Outrageously large neural networks", ICLR 2017), so that no expert is left unused.

    Args:
        inputs: F.
        width: D.
    """

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        self.experts = nn.ModuleList(Whitening(inputs, width) for _ in range(EXPERTS))
        self.gate = nn.Linear(inputs, EXPERTS, bias=False)
        self.noise = nn.Linear(inputs, EXPERTS, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return ``[n, D]`` for ``[n, F]``."""
        logits = self.gate(x)
        if self.training:
            logits = logits + torch.randn_like(logits) * softplus(self.noise(x))
        share: Tensor = logits.softmax(1).unsqueeze(2)  # [n, K, 1]
        mapped = torch.stack([expert(x) for expert in self.experts], dim=1)  # [n, K, D]
        return (share * mapped).sum(1)

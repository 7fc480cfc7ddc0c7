"""The copy gate: scores of nodes beside the scores of words."""

from typing import Any

import torch
from torch import Tensor, nn

from graphrec_pt.models.head import Head, head
from graphrec_pt.models.heads import ItemHead


@head("pointer")
class PointerHead(Head):
    """Scores of nodes after a text, and how probable it is that a node comes at all.

    Without a gate, words and nodes share one softmax, in which all nodes have one learned bias.
    With a gate, ``p(node v) = g p_node(v)`` and ``p(word w) = (1 − g) p_word(w)`` with
    ``g = σ(a · h + b)``: a soft form of the vocabulary pointer of RecInDial (Wang et al., AACL
    2022), re-derived.

    Args:
        width: D.
        gate: Whether there is a gate.
    """

    def __init__(self, width: int, gate: bool) -> None:
        super().__init__()
        self.width = width
        self.node = ItemHead(width, transform=True)
        self.gate = nn.Linear(width, 1) if gate else None
        self.bias = None if gate else nn.Parameter(torch.zeros(()))

    def options(self) -> dict[str, Any]:
        """Return the arguments that make a network of the same shape."""
        return {"width": self.width, "gate": self.gate is not None}

    def forward(self, hidden: Tensor) -> Tensor | None:
        """Return the logit of the gate after each state: ``[n]``; None without a gate."""
        return None if self.gate is None else self.gate(hidden).squeeze(1)

"""Feature gates of GraphPro: a learned sigmoid gate on every node vector."""

import torch
from pydantic import Field
from torch import Tensor, nn

from graphrec_pt.features.seeded import derive_seed, seeded
from graphrec_pt.models.adaptor import add_output_adapter
from graphrec_pt.models.host import Host
from graphrec_pt.models.prompts.family import PROMPT, prompt


@prompt("gate")
class Gate:
    """A sigmoid gate on each number of a node's vector: ``x ⊙ σ(W x + b)``.

    The gating prompt of GraphPro (Yang et al., WWW 2024): pre-trained vectors stay, and are
    gated before any propagation, as tokens and as candidates. It adds nothing to the sequences.

    Args:
        types: Node types whose vectors are gated; all by default.
        open: First b; 0 halves all vectors.
    """

    types: tuple[str, ...] | None = None
    open: float = Field(2.0, allow_inf_nan=False)

    def attach(self, model: Host, seed: int) -> None:
        """Give every type a gate of D · (D + 1) numbers."""
        for name in self.types or model.spec.node_names:
            model.spec.node_index(name)
            host = model.features.of_type.get_submodule(f"of_{name}")
            made = seeded(lambda: FeatureGate(model.width, self.open), derive_seed(seed, name))
            add_output_adapter(host, PROMPT, made)


class FeatureGate(nn.Module):
    """The gate of one node type.

    Args:
        width: D.
        open: First b.
    """

    def __init__(self, width: int, open: float) -> None:
        super().__init__()
        self.map, self.open = nn.Linear(width, width), open

    def initialise(self, draw: torch.Generator) -> None:
        """Set the first bias to `open`."""
        self.map.bias.fill_(self.open)

    def forward(self, x: Tensor) -> Tensor:
        """Return gated vectors: ``[n, D]``."""
        return x * torch.sigmoid(self.map(x))

"""Prefix projection: prompt vectors become soft tokens or keys and values of every layer."""

from typing import Literal

from torch import Tensor, nn

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.models.host import Host
from graphrec_pt.models.prompt import PromptStates

Where = Literal["tokens", "layers"]


class PrefixProjection(nn.Module):
    """The map from P vectors to a prompt: soft tokens, or keys and values of each layer.

    ``x ← x + W₂ tanh(W₁ x)``, if asked for; then per layer and head ``[k; v] = W x`` (Li and
    Liang, "Prefix-tuning", ACL 2021, who found the net in between to train more stably).

    Args:
        width: D.
        layers: Layers, heads and width of a head of the backbone; None for soft tokens.
        inner: Width of the net; 0 for none.
    """

    def __init__(self, width: int, layers: tuple[int, int, int] | None, inner: int = 0) -> None:
        super().__init__()
        self.layers = layers
        self.mix = (
            nn.Sequential(nn.Linear(width, inner), nn.Tanh(), nn.Linear(inner, width))
            if inner
            else None
        )
        self.deep = None
        if layers is not None:
            count, heads, each = layers
            self.deep = nn.Linear(width, 2 * count * heads * each)

    def forward(self, x: Tensor) -> PromptStates:
        """Return the prompt of vectors ``[B or 1, P, D]``."""
        if self.mix is not None:
            x = x + self.mix(x)
        if self.deep is None or self.layers is None:
            return PromptStates(tokens=x)
        both = self.deep(x).unflatten(2, (2, *self.layers))  # [B, P, 2, layers, H, d]
        keys, values = both.permute(2, 3, 0, 4, 1, 5)  # [layers, B, H, P, d] each
        return PromptStates(keys=keys, values=values)


def layers_of(model: Host, where: Where) -> tuple[int, int, int] | None:
    """Return layer count, heads and head width of a model; None for soft tokens.

    Raises:
        GraphRecError: When the backbone does not state them.
    """
    if where == "tokens":
        return None
    shape: tuple[int, int, int] | None = getattr(model.backbone, "prompt_shape", None)
    if shape is None:
        got = type(model.backbone).__name__
        expected = "a backbone with a prompt_shape, for keys and values"
        raise GraphRecError("prompt", expected, got, "where: tokens")
    return shape

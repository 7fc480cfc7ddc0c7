"""Prompts that are the same for every sequence: learned tokens, learned keys and values."""

from pydantic import Field
from torch import nn

from graphrec_pt.features.seeded import seeded
from graphrec_pt.models.adaptor import device_of
from graphrec_pt.models.host import Host, PromptEncoder
from graphrec_pt.models.prompt import PromptStates
from graphrec_pt.models.prompts.family import prompt
from graphrec_pt.models.prompts.prefix_projection import PrefixProjection, layers_of
from graphrec_pt.models.view import View


@prompt("soft_tokens")
class SoftTokens:
    """P learned tokens before every sequence.

    Lester et al., "The power of scale for parameter-efficient prompt tuning", EMNLP 2021.

    Args:
        size: P.
        inner: Width of a net that the vectors go through first; 0 for none.
    """

    size: int = Field(8, ge=1)
    inner: int = Field(0, ge=0)

    def attach(self, model: Host, seed: int) -> None:
        """Give the model P · D numbers, and those of the net."""
        made = seeded(
            lambda: Learned(
                self.size, model.width, PrefixProjection(model.width, None, self.inner)
            ),
            seed,
        )
        model.prompt = made.to(device_of(model))


@prompt("prefix")
class Prefix:
    """P learned keys and values in each layer, which every token sees in every mode.

    Li and Liang, "Prefix-tuning", ACL 2021.

    Args:
        size: P.
        inner: Width of a net between P vectors and the layers; 0 for none.
    """

    size: int = Field(8, ge=1)
    inner: int = Field(0, ge=0)

    def attach(self, model: Host, seed: int) -> None:
        """Give the model P · D numbers, and a map of them to all layers.

        Raises:
            GraphRecError: When the backbone takes no keys and values.
        """
        layers = layers_of(model, "layers")
        made = seeded(
            lambda: Learned(
                self.size, model.width, PrefixProjection(model.width, layers, self.inner)
            ),
            seed,
        )
        model.prompt = made.to(device_of(model))


class Learned(PromptEncoder):
    """P learned vectors and their projection.

    Args:
        size: P.
        width: D.
        outlet: The projection from vectors to a prompt.
    """

    def __init__(self, size: int, width: int, outlet: PrefixProjection) -> None:
        super().__init__()
        self.vectors = nn.Embedding(size, width)
        self.outlet = outlet

    def forward(self, view: View, model: Host) -> PromptStates:
        """Return the prompt, one for all sequences."""
        made: PromptStates = self.outlet(self.vectors.weight.unsqueeze(0))  # [1, P, D]
        return made

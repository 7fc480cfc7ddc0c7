"""The backbone family: configs that build a network from token vectors to token vectors."""

from collections.abc import Mapping
from typing import Annotated, Protocol

from torch import Tensor, nn

from graphrec_pt.core.registry import Registry
from graphrec_pt.models.prompt import PromptStates


class Backbone(Protocol):
    """A frozen config of a network; ``build`` is a pure function of it and the seed.

    The network maps ``(x [T, D], ptr [B+1], structure, prompt)`` to ``[T, D]``, sequence by
    sequence, for token vectors x and integer columns of the tokens by name.
    """

    @property
    def width(self) -> int:
        """D."""
        ...

    def build(self, seed: int) -> nn.Module:
        """Return a new network whose weights depend on the config and the seed alone."""
        ...


class TwoStream(Protocol):
    """A network that also reads as XLNet does, with a query beside every token."""

    def two_stream(
        self,
        x: Tensor,
        query: Tensor,
        ptr: Tensor,
        structure: Mapping[str, Tensor],
        order: Tensor,
        prompt: PromptStates | None,
        *,
        edges: Tensor | None,
    ) -> tuple[Tensor, Tensor]:
        """Return the states of tokens and of queries: ``[T, D]`` each."""
        ...


backbone: Registry[Backbone] = Registry("backbone")
"""``@backbone("name")`` makes a class usable as a backbone."""

BackboneField = Annotated[Backbone, backbone]
"""Type of a config field that holds a backbone."""

"""The prompt family: what is put before the sequences of a model that may be frozen."""

from typing import TYPE_CHECKING, Annotated, ClassVar, Protocol

import polars as pl
from torch import nn

from graphrec_pt.core.registry import Registry
from graphrec_pt.graph.graph import Graph
from graphrec_pt.models.prompt import Prompt
from graphrec_pt.models.view import View

if TYPE_CHECKING:
    from graphrec_pt.models.model import Model

PROMPT = "prompt"
"""Name of every module that a prompt puts into a model: ``*.prompt.*`` finds its weights."""


class Prompting(Protocol):
    """A frozen config of a soft prompt, so that it can be named in a recipe."""

    def attach(self, model: "Model", seed: int) -> None:
        """Put the prompt into a model, in modules named :data:`PROMPT`.

        Its first weights are a function of the model's config and the seed.

        Raises:
            GraphRecError: When the model has no place for it.
        """
        ...


class PromptNetwork(nn.Module):
    """What makes the prompt of a batch; kept as ``model.prompt``."""

    reads: ClassVar[bool] = False
    """Whether it needs a graph."""

    def bind(self, graph: Graph) -> None:
        """Read what is needed of a graph; called before the first pass and for each new graph."""

    def row_names(self) -> dict[str, pl.Series]:
        """Return what rows of weights stand for, by name; see ``Feature.row_names``."""
        return {}

    def forward(self, view: View, model: "Model") -> Prompt:
        """Return what stands before the sequences of a view.

        Args:
            view: B sequences.
            model: Has the vectors of nodes: ``model.nodes(ids)``.
        """
        raise TypeError(f"{type(self).__name__} has no forward")


prompt: Registry[Prompting] = Registry("prompt")
"""``@prompt("name")`` makes a class usable as a soft prompt."""

PromptField = Annotated[Prompting, prompt]
"""Type of a config field that holds a soft prompt."""

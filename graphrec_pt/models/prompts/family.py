"""The prompt family: soft prompts for a model, whose own weights may be frozen."""

from typing import Annotated, Protocol

from graphrec_pt.core.registry import Registry
from graphrec_pt.models.host import Host

PROMPT = "prompt"
"""Name of every module that a prompt puts into a model: ``*.prompt.*`` finds its weights."""


class PromptConfig(Protocol):
    """A frozen config of a soft prompt, so that it can be named in a recipe."""

    def attach(self, model: Host, seed: int) -> None:
        """Put the prompt into a model, in modules named :data:`PROMPT`.

        Its first weights are a function of the model's config and the seed.

        Raises:
            GraphRecError: When the model has no place for it.
        """
        ...


prompt: Registry[PromptConfig] = Registry("prompt")
"""``@prompt("name")`` makes a class usable as a soft prompt."""

PromptField = Annotated[PromptConfig, prompt]
"""Type of a config field that holds a soft prompt."""

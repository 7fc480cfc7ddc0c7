"""The strategy family: how a stage adapts a model, as data for the one trainer."""

from typing import Annotated, Literal

from pydantic import ConfigDict
from pydantic.dataclasses import dataclass as validated

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.core.registry import Registry, name_of
from graphrec_pt.models.adaptor import AdaptorField
from graphrec_pt.models.prompts.family import PromptField
from graphrec_pt.tokens.linearizer import Linearizer
from graphrec_pt.training.encoding import Encoding

Patterns = tuple[str, ...]


@validated(frozen=True, config=ConfigDict(extra="forbid", arbitrary_types_allowed=True))
class Strategy:
    """What a stage trains, and what it puts into the model for it.

    A row of :mod:`~graphrec_pt.training.strategy_rows` is nothing but other defaults of these
    fields, and a recipe may override each. Patterns are globs over the names of a
    :class:`~graphrec_pt.training.learner.Learner`: ``model.features.*``, ``model.embedding.*``,
    ``model.backbone.*``, ``heads.*``; ``*.prompt.*`` and ``*.adaptor.*`` wherever these stand.

    Args:
        trains: Patterns of what trains; everything else stays as it is, to the bit. What was
            frozen before, such as a frozen encoder, stays so too.
        frozen: Patterns of exceptions.
        first: Patterns of what trains alone in a stage of its own before this one.
        prompt: Config of a soft prompt to attach.
        adaptor: Config of an adaptor to attach.
        head: Begin with a ``"new"`` head of each objective, or with the one ``"kept"`` in the
            model since it was last trained; a head that trains may be new where there is none.
        reset: Patterns of weights of the model that start anew: what is not taken from the
            pre-trained one.
        encoded: How nodes are encoded by the pre-trained model, before any `reset`; they begin
            with these vectors. See :class:`~graphrec_pt.training.encoding.Encoding`.
        hard: Whether the linearizer must write a template around what is asked.
    """

    trains: Patterns = ("*",)
    frozen: Patterns = ()
    first: Patterns = ()
    prompt: PromptField | None = None
    adaptor: AdaptorField | None = None
    head: Literal["new", "kept"] = "new"
    reset: Patterns = ()
    encoded: Encoding | None = None
    hard: bool = False

    @property
    def name(self) -> str:
        """As registered."""
        return name_of(self)

    def check(self, linearizer: Linearizer) -> None:
        """Raise unless the tokens are prompts where they must be.

        Raises:
            GraphRecError: For a linearizer that is no template, nor the text of one.
        """
        if self.hard and linearizer.prompt is None:
            got = name_of(linearizer)
            hint = "the linearizer 'template', or hard: false"
            raise GraphRecError(f"strategy {self.name!r}", "a hard prompt", repr(got), hint)


strategy: Registry[Strategy] = Registry("strategy")
"""``@strategy("name")`` makes a row usable in a recipe."""

StrategyField = Annotated[Strategy, strategy]
"""Type of a config field that holds a strategy."""

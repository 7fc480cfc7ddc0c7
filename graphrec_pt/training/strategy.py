"""The strategy family: how a stage adapts a model, as data for the one trainer, in eight rows."""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass as validated

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.core.registry import Registry, name_of
from graphrec_pt.models.adaptor import AdaptorField
from graphrec_pt.models.prompts.family import PromptField
from graphrec_pt.tokens.linearizer import Linearizer
from graphrec_pt.training.encoding import NodeEncoding

Patterns = tuple[str, ...]


@validated(frozen=True, config=ConfigDict(extra="forbid", arbitrary_types_allowed=True))
class Strategy:
    """The parameters that a stage trains, and the parts that it adds to the model.

    A registered strategy only sets other defaults of these fields, and a recipe may override
    each. Patterns are globs over the names of a
    :class:`~graphrec_pt.training.multi_task.MultiTaskModule`: ``model.features.*``,
    ``model.embedding.*``, ``model.backbone.*``, ``heads.*``; ``*.prompt.*`` and ``*.adaptor.*``
    wherever these stand.

    Args:
        trains: Patterns of what trains; everything else stays as it is, to the bit. What was
            frozen before, such as a frozen encoder, stays so too.
        frozen: Patterns of exceptions.
        warmup_only: Patterns of what trains alone in a stage of its own before this one.
        prompt: Config of a soft prompt to attach.
        adaptor: Config of an adaptor to attach.
        head: Begin with a ``"new"`` head of each objective, or with the one ``"kept"`` in the
            model since it was last trained; a head that trains may be new where there is none.
        reinit: Patterns of weights of the model that start anew: what is not taken from the
            pre-trained one.
        init_embeddings_from: How nodes are encoded by the pre-trained model, before any `reinit`;
            they begin with these vectors. See :class:`~graphrec_pt.training.encoding.NodeEncoding`.
        requires_template: Whether the linearizer must write a template around what is asked.

    Example:
        >>> @strategy("only_heads")
        ... class OnlyHeads(Strategy):
        ...     trains: Patterns = ("heads.*",)
        >>> strategy.build("only_heads").trains
        ('heads.*',)
    """

    trains: Patterns = ("*",)
    frozen: Patterns = ()
    warmup_only: Patterns = ()
    prompt: PromptField | None = None
    adaptor: AdaptorField | None = None
    head: Literal["new", "kept"] = "new"
    reinit: Patterns = ()
    init_embeddings_from: NodeEncoding | None = None
    requires_template: bool = False

    @property
    def name(self) -> str:
        """As registered."""
        return name_of(self)

    def check(self, linearizer: Linearizer) -> None:
        """Raise unless the linearizer makes the prompts that the strategy requires.

        Raises:
            GraphRecError: For a linearizer that is no template, nor the text of one.
        """
        if self.requires_template and linearizer.prompt is None:
            got = name_of(linearizer)
            hint = "the linearizer 'template', or requires_template: false"
            raise GraphRecError(f"strategy {self.name!r}", "a hard prompt", repr(got), hint)


strategy: Registry[Strategy] = Registry("strategy")
"""``@strategy("name")`` makes a row usable in a recipe."""

StrategyField = Annotated[Strategy, strategy]
"""Type of a config field that holds a strategy."""


Head = Literal["new", "kept"]


@strategy("pretrain")
class Pretrain(Strategy):
    """Everything trains: BERT4Rec, PLM-Rec, Transformers4Rec."""


@strategy("finetune_whole")
class FinetuneWhole(Strategy):
    """Everything trains, with new heads: CHEST, UPRec, U-BERT, TwHIN-BERT, RecInDial."""


@strategy("finetune_part")
class FinetunePart(Strategy):
    """An adaptor and new heads train, or the layers that `trains` names: UniSRec, PeterRec.

    UniSRec is ``trains: [model.features.*, heads.*]`` without an adaptor; Tiny-NewsRec
    ``trains: [model.backbone.layers.3.*, heads.*]``.
    """

    trains: Patterns = ("*.adaptor.*", "heads.*")
    adaptor: AdaptorField | None = Field("bottleneck", validate_default=True)


@strategy("finetune_extra")
class FinetuneExtra(Strategy):
    """New heads on a frozen model: PREC, G-BERT, Liu et al. (2023).

    With ``trains: ["*"], reinit: [model.backbone.*]`` a new network trains, and the pre-trained
    model gives nothing but the first vectors of nodes.
    """

    trains: Patterns = ("heads.*",)


@strategy("prompt_tune")
class PromptTune(Strategy):
    """A soft prompt before a frozen model trains: UniCRS, PPR (light)."""

    trains: Patterns = ("*.prompt.*",)
    prompt: PromptField | None = Field("soft_tokens", validate_default=True)
    head: Head = "kept"


@strategy("tune_with_fixed_prompt")
class TuneWithFixedPrompt(Strategy):
    """The model trains under a template that does not: MESE, UniMIND."""

    head: Head = "kept"
    requires_template: bool = True


@strategy("prompt_free")
class PromptFree(Strategy):
    """Nothing trains; a template asks the model what it knows: Sileo et al. (2022), P5."""

    trains: Patterns = ()
    head: Head = "kept"
    requires_template: bool = True


@strategy("prompt_and_tune")
class PromptAndTune(Strategy):
    """A soft prompt trains alone, then all together: PEPLER, PPR (full), PRL."""

    warmup_only: Patterns = ("*.prompt.*", "heads.*")
    prompt: PromptField | None = Field("soft_tokens", validate_default=True)
    head: Head = "kept"

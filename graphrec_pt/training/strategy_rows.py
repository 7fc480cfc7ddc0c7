"""The eight strategies: pre-training, and the seven ways to adapt what it made."""

from typing import Literal

from pydantic import Field

from graphrec_pt.models.adaptor import AdaptorField
from graphrec_pt.models.prompts.family import PromptField
from graphrec_pt.training.strategy import Patterns, Strategy, strategy

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

    With ``trains: ["*"], reset: [model.backbone.*]`` a new network trains, and the pre-trained
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
    hard: bool = True


@strategy("prompt_free")
class PromptFree(Strategy):
    """Nothing trains; a template asks the model what it knows: Sileo et al. (2022), P5."""

    trains: Patterns = ()
    head: Head = "kept"
    hard: bool = True


@strategy("prompt_and_tune")
class PromptAndTune(Strategy):
    """A soft prompt trains alone, then all together: PEPLER, PPR (full), PRL."""

    first: Patterns = ("*.prompt.*", "heads.*")
    prompt: PromptField | None = Field("soft_tokens", validate_default=True)
    head: Head = "kept"

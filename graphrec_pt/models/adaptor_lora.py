"""LoRA through peft, for backbones of Hugging Face."""

from importlib import import_module
from typing import Any

import torch
from pydantic import Field

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.models.adaptor import ADAPTOR, adaptor
from graphrec_pt.models.host import Host


@adaptor("lora")
class LoRA:
    """Low-rank changes of attention maps: ``W x + (α / r) B A x`` (Hu et al., ICLR 2022).

    Args:
        rank: r.
        alpha: α.
        dropout: Of x, in training.
        targets: Names of the maps, such as ``query``; peft's choice for the model by default.
    """

    rank: int = Field(8, ge=1)
    alpha: float = Field(16.0, gt=0)
    dropout: float = Field(0.0, ge=0, lt=1)
    targets: tuple[str, ...] | None = None

    def attach(self, model: Host, seed: int) -> None:
        """Put the changes into the Hugging Face model; B is 0 at first, so nothing changes yet.

        Raises:
            GraphRecError: For another backbone, without peft, and for maps that there are not.
        """
        network: Any = getattr(model.backbone, "model", None)
        if network is None or not hasattr(network, "config"):
            got = type(model.backbone).__name__
            hint = "the adaptor bottleneck"
            raise GraphRecError("adaptor 'lora'", "the backbone hugging_face", got, hint)
        try:
            peft = import_module("peft")
        except ImportError as error:
            hint = "pip install peft"
            raise GraphRecError("adaptor 'lora'", "peft", "not installed", hint) from error
        options: dict[str, Any] = (
            {} if self.targets is None else {"target_modules": list(self.targets)}
        )
        config = peft.LoraConfig(
            r=self.rank, lora_alpha=self.alpha, lora_dropout=self.dropout, **options
        )
        asked = {name: p.requires_grad for name, p in network.named_parameters()}
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            try:
                peft.inject_adapter_in_model(config, network, adapter_name=ADAPTOR)
            except ValueError as error:
                told = str(error).splitlines()[0]
                raise GraphRecError(
                    "adaptor 'lora'", "maps to adapt", told, "targets: …"
                ) from error
        # peft freezes the rest; here the strategy says what trains.
        for name, parameter in network.named_parameters():
            parameter.requires_grad_(asked.get(name.replace(".base_layer", ""), True))

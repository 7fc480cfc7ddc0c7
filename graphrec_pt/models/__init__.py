"""Floor 7: backbones, prompts, adaptors and heads."""

from graphrec_pt.models import (  # registers their members
    adaptor_experts,
    adaptor_lora,
    hugging_face,
    prompts,
    transformer,
)

__all__ = ["adaptor_experts", "adaptor_lora", "hugging_face", "prompts", "transformer"]

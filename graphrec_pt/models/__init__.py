"""Floor 7: backbones, prompts, adaptors and heads."""

from graphrec_pt.models import (  # registers members
    adaptor,
    heads,
    hugging_face,
    prompts,
    transformer,
    turn_head,
    user_attention,
)

__all__ = [
    "adaptor",
    "heads",
    "hugging_face",
    "prompts",
    "transformer",
    "turn_head",
    "user_attention",
]

"""Floor 6: backbones, prompts and heads."""

from graphrec_pt.models import hugging_face, transformer  # register their members

__all__ = ["hugging_face", "transformer"]

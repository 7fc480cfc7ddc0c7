"""Floor 6: backbones, prompts and heads."""

from graphrec_pt.models import transformer  # registers its member

__all__ = ["transformer"]

"""Soft prompts: learned, made from a profile, made from a knowledge graph; gates of features."""

from graphrec_pt.models.prompts import (  # registers their members
    gate,
    knowledge,
    personalised,
    soft,
)

__all__ = ["gate", "knowledge", "personalised", "soft"]

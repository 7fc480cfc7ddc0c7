"""The evaluation tasks: ranking, rating, click, sets, conversation and text."""

from graphrec_pt.evaluation.tasks import (
    click,
    conversation,
    ranking,
    rating,
    sets,
    text,
)  # registers its members

__all__ = ["click", "conversation", "ranking", "rating", "sets", "text"]

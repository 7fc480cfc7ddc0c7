"""The evaluation tasks: ranking, rating, click, sets and conversation."""

from graphrec_pt.evaluation.tasks import (
    click,
    conversation,
    ranking,
    rating,
    sets,
)  # registers its members

__all__ = ["click", "conversation", "ranking", "rating", "sets"]

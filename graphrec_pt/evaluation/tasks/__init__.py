"""The evaluation tasks, one a file."""

from graphrec_pt.evaluation.tasks import (
    choice,
    click,
    conversation,
    impressions,
    ranking,
    rating,
    sets,
    text,
)  # registers its members

__all__ = ["choice", "click", "conversation", "impressions", "ranking", "rating", "sets", "text"]

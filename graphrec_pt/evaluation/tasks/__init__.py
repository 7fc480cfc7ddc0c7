"""The evaluation tasks: ranking, rating, click, choice, sets, impressions,
conversation and text."""

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

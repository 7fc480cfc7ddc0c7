"""The evaluation tasks: ranking, rating, click, choice, sets and conversation."""

from graphrec_pt.evaluation.tasks import (
    choice,
    click,
    conversation,
    ranking,
    rating,
    sets,
)  # registers its members

__all__ = ["choice", "click", "conversation", "ranking", "rating", "sets"]

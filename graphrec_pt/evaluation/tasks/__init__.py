"""The evaluation tasks, from rankings over ratings and clicks to texts."""

from graphrec_pt.evaluation.tasks import (
    choice,
    click,
    conversation,
    fill_in_the_blank,
    impressions,
    ranking,
    rating,
    sets,
    text,
)  # registers its members

__all__ = [
    "choice",
    "click",
    "conversation",
    "fill_in_the_blank",
    "impressions",
    "ranking",
    "rating",
    "sets",
    "text",
]

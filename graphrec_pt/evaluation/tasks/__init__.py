"""The evaluation tasks: ranking, rating, click, choice, fill in the blank, sets, conversation
and text.
"""

from graphrec_pt.evaluation.tasks import (
    choice,
    click,
    conversation,
    fill_in_the_blank,
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
    "ranking",
    "rating",
    "sets",
    "text",
]

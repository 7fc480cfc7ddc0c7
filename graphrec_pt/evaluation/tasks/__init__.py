"""What is asked of held-out targets: rank, rating, whether they are clicked, whole sets."""

from graphrec_pt.evaluation.tasks import click, ranking, rating, sets  # registers its members

__all__ = ["click", "ranking", "rating", "sets"]

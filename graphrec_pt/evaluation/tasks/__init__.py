"""What is asked of held-out targets: their rank, their rating, whether they are clicked."""

from graphrec_pt.evaluation.tasks import click, ranking, rating  # registers its members

__all__ = ["click", "ranking", "rating"]

"""The evaluation tasks: ranking, rating, click and sets."""

from graphrec_pt.evaluation.tasks import click, ranking, rating, sets  # registers its members

__all__ = ["click", "ranking", "rating", "sets"]

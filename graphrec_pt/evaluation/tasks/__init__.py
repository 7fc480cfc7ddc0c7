"""The evaluation tasks: ranking, rating, click, sets and text."""

from graphrec_pt.evaluation.tasks import click, ranking, rating, sets, text  # registers its members

__all__ = ["click", "ranking", "rating", "sets", "text"]

"""Floor 9: rankings, metrics, intervals, baselines, explanation quality."""

from graphrec_pt.evaluation import (  # registers their members
    accuracy,
    ease,
    item_knn,
    markov,
    popularity,
    transition_knn,
)

__all__ = ["accuracy", "ease", "item_knn", "markov", "popularity", "transition_knn"]

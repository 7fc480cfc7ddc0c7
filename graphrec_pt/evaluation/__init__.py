"""Floor 11: rankings, predicted values, metrics, intervals, baselines, explanation quality."""

from graphrec_pt.evaluation import (  # registers their members
    accuracy,
    biases,
    ease,
    global_mean,
    item_knn,
    markov,
    popularity,
    popularity_rate,
    set_metrics,
    tasks,
    transition_knn,
    value_metrics,
)

__all__ = [
    "accuracy",
    "biases",
    "ease",
    "global_mean",
    "item_knn",
    "markov",
    "popularity",
    "popularity_rate",
    "set_metrics",
    "tasks",
    "transition_knn",
    "value_metrics",
]

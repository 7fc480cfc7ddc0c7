"""Floor 12: rankings, predicted values, metrics, intervals, baselines, explanation quality."""

from graphrec_pt.evaluation import (  # registers their members
    accuracy,
    baselines,
    conversation_baselines,
    conversation_metrics,
    set_metrics,
    tasks,
    value_baselines,
    value_metrics,
)

__all__ = [
    "accuracy",
    "baselines",
    "conversation_baselines",
    "conversation_metrics",
    "set_metrics",
    "tasks",
    "value_baselines",
    "value_metrics",
]

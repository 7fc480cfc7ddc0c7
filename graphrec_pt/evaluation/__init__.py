"""Floor 12: rankings, predicted values, texts, metrics, intervals, baselines, explanations."""

from graphrec_pt.evaluation import (  # registers their members
    accuracy,
    baselines,
    conversation_baselines,
    conversation_metrics,
    impression_baselines,
    impression_metrics,
    response_metrics,
    set_metrics,
    tasks,
    text_baselines,
    text_metrics,
    text_variety,
    value_baselines,
    value_metrics,
)

__all__ = [
    "accuracy",
    "baselines",
    "conversation_baselines",
    "conversation_metrics",
    "impression_baselines",
    "impression_metrics",
    "response_metrics",
    "set_metrics",
    "tasks",
    "text_baselines",
    "text_metrics",
    "text_variety",
    "value_baselines",
    "value_metrics",
]

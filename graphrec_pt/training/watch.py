"""Which model was the best so far, and when to stop looking for a better one."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from graphrec_pt.core.errors import GraphRecError, did_you_mean

LOWER = ("loss", "rmse", "mae")
"""Words in the names of metrics that are better when lower."""


class Watch:
    """Keeps the weights of the best validation.

    Args:
        metric: What is watched; by default the first one that a validation returns.
        patience: Validations without a better one after which to stop; 0 for never.
    """

    def __init__(self, metric: str | None = None, patience: int = 0) -> None:
        self.metric, self.patience = metric, patience
        self.best: float | None = None
        self.without = 0
        self.weights: dict[str, Tensor] = {}

    def see(self, metrics: Mapping[str, float], network: nn.Module) -> bool:
        """Take in a validation; say whether to stop.

        Raises:
            GraphRecError: When the watched metric is missing or not a number.
        """
        if self.metric is None:
            self.metric = next(iter(metrics), "")
        if self.metric not in metrics:
            hint = did_you_mean(self.metric, metrics)
            raise GraphRecError("validation", f"the metric {self.metric!r}", "none of it", hint)
        value = float(metrics[self.metric])
        if value != value:
            raise GraphRecError("validation", f"{self.metric} as a number", value)
        better = self.best is None or (value < self.best if self._lower else value > self.best)
        if better:
            self.best, self.without = value, 0
            self.weights = {
                name: tensor.detach().clone() for name, tensor in network.state_dict().items()
            }
        else:
            self.without += 1
        return bool(self.patience) and self.without >= self.patience

    def restore(self, network: nn.Module) -> None:
        """Put the best weights back, if there was a validation."""
        if self.weights:
            network.load_state_dict(self.weights)

    def state(self) -> dict[str, Any]:
        """Return what JSON can hold of it."""
        return {"metric": self.metric, "best": self.best, "without": self.without}

    def load(self, state: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
        """Go on from a saved state."""
        self.metric, self.best, self.without = state["metric"], state["best"], state["without"]
        self.weights = dict(tensors)

    @property
    def _lower(self) -> bool:
        return lower_is_better(str(self.metric))


def lower_is_better(metric: str) -> bool:
    """Say whether a metric is better when lower: losses and errors are."""
    return any(word in metric for word in LOWER)

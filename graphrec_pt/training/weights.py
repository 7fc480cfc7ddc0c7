"""Copies of the weights: the best ones by validation, and a moving average."""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import Parameter

from graphrec_pt.core.errors import GraphRecError, did_you_mean

LOWER = {"loss", "rmse", "mae", "ppl", "div"}
"""Words in the names of metrics that are better when lower."""


class BestCheckpoint:
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

    def see(
        self, metrics: Mapping[str, float], network: nn.Module, fixed: Collection[str] = ()
    ) -> bool:
        """Record a validation and return whether to stop early.

        Args:
            metrics: Of the validation.
            network: Whose weights are kept if it is the best one.
            fixed: Names of weights that never change, which are not kept.

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
                name: tensor.detach().clone()
                for name, tensor in network.state_dict().items()
                if name not in fixed
            }
        else:
            self.without += 1
        return bool(self.patience) and self.without >= self.patience

    def restore(self, network: nn.Module) -> None:
        """Put the best weights back, if there was a validation."""
        if self.weights:
            network.load_state_dict({**network.state_dict(), **self.weights})

    def state(self) -> dict[str, Any]:
        """Return the JSON part of the state."""
        return {"metric": self.metric, "best": self.best, "without": self.without}

    def load(self, state: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
        """Go on from a saved state."""
        self.metric, self.best, self.without = state["metric"], state["best"], state["without"]
        self.weights = dict(tensors)

    @property
    def _lower(self) -> bool:
        return lower_is_better(str(self.metric))


def lower_is_better(metric: str) -> bool:
    """Return whether lower values of a metric are better: losses, errors and perplexities."""
    return not LOWER.isdisjoint(re.split("[^a-z]+", metric))


_UPDATES = "updates"


class Average:
    """Running averages of trained parameters; buffers and frozen parameters have none.

    ``a ← a + (1 − d) (p − a)`` after every optimiser step, from ``a = p`` at the start. With
    warm-up the decay of update *n* = 0, 1, … is ``min(d, (1 + n) / (10 + n))``, so that a short
    run does not end near its random start. The arithmetic is that of
    :class:`torch.optim.swa_utils.AveragedModel`, without its second copy of the network.

    Averages of half-precision parameters are kept in float32, where small steps do not vanish.

    Args:
        parameters: Named; only those that require gradients are averaged.
        decay: d.
        warmup: Whether early updates decay faster.

    Raises:
        GraphRecError: When the decay is not in [0, 1).
    """

    def __init__(
        self, parameters: Iterable[tuple[str, Parameter]], decay: float = 0.999, warmup: bool = True
    ) -> None:
        if not 0 <= decay < 1:
            raise GraphRecError("Average", "0 <= decay < 1", decay)
        self.decay, self.warmup, self.updates = decay, warmup, 0
        self._parameters = {name: each for name, each in parameters if each.requires_grad}
        self._averages = {name: _wide(each).clone() for name, each in self._parameters.items()}

    @torch.no_grad()
    def update(self) -> None:
        """Update the averages with the current parameters."""
        early = (1 + self.updates) / (10 + self.updates)
        decay = min(self.decay, early) if self.warmup else self.decay
        for name, average in self._averages.items():
            average.lerp_(_wide(self._parameters[name]), 1 - decay)
        self.updates += 1

    @contextmanager
    def swapped(self) -> Iterator[None]:
        """Swap the averages in for the parameters inside the block."""
        kept = {name: each.detach().clone() for name, each in self._parameters.items()}
        try:
            self._put(self._averages)
            yield
        finally:
            self._put(kept)

    def settle(self) -> None:
        """Replace the parameters by their averages."""
        self._put(self._averages)

    def tensors(self) -> dict[str, Tensor]:
        """Return the state: the averages by name and the number of updates."""
        return {_UPDATES: torch.tensor(self.updates)} | {
            f"average/{name}": average for name, average in self._averages.items()
        }

    @torch.no_grad()
    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Go on from a saved state.

        Raises:
            GraphRecError: When the state is of other parameters.
        """
        mine = self.tensors()
        shapes = {name: list(each.shape) for name, each in tensors.items()}
        differ = {n for n in mine.keys() | shapes.keys() if n not in mine or n not in shapes}
        differ |= {n for n in mine.keys() & shapes.keys() if list(mine[n].shape) != shapes[n]}
        if differ:
            got = f"others: {sorted(differ)[:5]}"
            raise GraphRecError("Average", "the averages of these parameters", got)
        for name, average in self._averages.items():
            average.copy_(tensors[f"average/{name}"])
        self.updates = int(tensors[_UPDATES])

    @torch.no_grad()
    def _put(self, values: Mapping[str, Tensor]) -> None:
        for name, parameter in self._parameters.items():
            parameter.copy_(values[name])


def _wide(parameter: Tensor) -> Tensor:
    """Return values of at least float32."""
    return parameter.detach().to(torch.promote_types(parameter.dtype, torch.float32))

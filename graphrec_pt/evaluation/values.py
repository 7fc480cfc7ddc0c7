"""Interfaces of systems and baselines that predict values of pairs: ratings or click chances."""

from collections.abc import Callable
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from graphrec_pt.core.registry import Registry


class Known(NamedTuple):
    """Pairs whose value is known, from training edges.

    Args:
        source: int64 ``[n]`` global ids.
        target: int64 ``[n]`` global ids.
        value: float64 ``[n]``.
        nodes: How many nodes the graph has.
        time: int64 ``[n]``, when each value became known; None where times are unknown.
    """

    source: Tensor
    target: Tensor
    value: Tensor
    nodes: int
    time: Tensor | None = None


class Values(Protocol):
    """Predicts the value of any pair."""

    def values(self, source: Tensor, target: Tensor) -> Tensor:
        """Return one value per pair: floats ``[n]`` for int64 ``[n]`` global ids each."""
        ...


class PredictedValues(NamedTuple):
    """Predicts values with a function of pairs.

    Args:
        of: Function from int64 ``[n, 2]`` global ids to floats ``[n]``.
    """

    of: Callable[[Tensor], Tensor]

    def values(self, source: Tensor, target: Tensor) -> Tensor:
        """Return one value per pair: floats ``[n]``."""
        return self.of(torch.stack([source, target], dim=1))


class ValueBaseline(Protocol):
    """Learns from known pairs in closed form; a frozen config."""

    def fit(self, known: Known) -> Values:
        """Return the fitted baseline."""
        ...


value_baseline: Registry[ValueBaseline] = Registry("value baseline")
"""``@value_baseline("name")`` makes a class usable as a baseline of ratings and clicks."""


def sums_by_node(node: Tensor, value: Tensor, nodes: int) -> tuple[Tensor, Tensor]:
    """Return the sum of values and their number at each node: float64 ``[N]`` both."""
    total = value.new_zeros(nodes).index_add_(0, node, value)
    return total, value.new_zeros(nodes).index_add_(0, node, value.new_ones(len(value)))
